"""Acme Pumps' policy in Python: the same as in ../rust, the same decisions.

1. A pump stays in its region. No hub there with room: it waits.
2. A few pumps in a hundred, picked by serial number, are canaries, on hubs with the label ring=canary.
3. The last part of each hub is kept for pumps that come back.
4. Within a customer, pumps stand in cells of a limited size.
"""

import json

from componentize_py_types import Err
from landfall import debug, exported, fraction, fullness, rank, read_settings, require_fact, unsupported
from wit_world import exports
from wit_world.exports.control import Description, Problem
from wit_world.exports.grouping import Placement
from wit_world.exports.hub_selection import Choice, Deferral, Outcome_Assign, Outcome_Defer
from wit_world.imports.catalog import group_count, hub_label
from wit_world.imports.types import Label, Reason

SETTINGS = {}


@exported
class Control(exports.Control):
    def describe(self):
        summary = "Keeps devices in their region, canaries on hubs of their own, and each customer's devices in cells"
        return Description("region-and-customer", "1.0.0", summary, json.dumps(SCHEMA))

    def configure(self, settings):
        given = read_settings(settings, {"keep-free": 0.1, "canary": None, "cell-size": 100})
        problems = []
        if not (within(given["keep-free"], 0, 1) and given["keep-free"] < 1):
            problems.append(Problem("/keep-free", "from 0 to less than 1"))
        if given["canary"] is not None and not within(given["canary"].get("percent"), 0, 100):
            problems.append(Problem("/canary/percent", "from 0 to 100"))
        if not isinstance(given["cell-size"], int) or given["cell-size"] < 1:
            problems.append(Problem("/cell-size", "a cell takes at least one pump"))
        if problems:
            raise Err(problems)
        SETTINGS.update(given)


@exported
class HubSelection(exports.HubSelection):
    def select_hub(self, call, device, candidates):
        region = require_fact(device, "region")
        ring = ring_of(device)

        def suits(hub):
            suits = (
                hub_label(hub.handle, "region") == region
                and (hub_label(hub.handle, "ring") == "canary") == (ring == "canary")
                and has_room(hub, device)
            )
            debug("looked at", hub=hub.name, suits=suits, fullness=fullness(hub))
            return suits

        suitable = [hub for hub in candidates if suits(hub)]
        before = [hub for hub in suitable if device.prior is not None and hub.name == device.prior.hub]
        if before:
            return assign(before, "came-back", "it was on this hub before")
        why = f"{ring} pump in {region}"
        ranking = rank(device.registration_id, suitable, 3)
        if ranking:
            return assign(ranking, "region-and-ring", why)
        return Outcome_Defer(Deferral(60_000, Reason("region-full", f"no hub takes a {why}")))


@exported
class Grouping(exports.Grouping):
    def place(self, call, device, hub):
        customer, site = require_fact(device, "customer"), require_fact(device, "site")
        cells = (f"cell-{number}" for number in range(1, MOST_CELLS + 1))
        cell = next((cell for cell in cells if group_count([customer, site, cell]) < SETTINGS["cell-size"]), None)
        if cell is None:
            raise unsupported(f"all {MOST_CELLS} cells of {site} are full")
        return Placement(
            group_path=[customer, site, cell],
            tags=[Label("customer", json.dumps(customer)), Label("ring", json.dumps(ring_of(device)))],
            desired=None,
            # An object: the devices' SDKs for Java and C take no other reply.
            reply=json.dumps({"message": f"welcome to {site}"}),
            reasons=[Reason("customer-site-cell", f"{cell} of {site} has room")],
        )


def assign(hubs, code, detail):
    hub, *alternates = hubs
    return Outcome_Assign(Choice(hub.handle, [other.handle for other in alternates], None, [Reason(code, detail)]))


def ring_of(device):
    canary = SETTINGS["canary"]
    if canary is None:
        return "stable"
    picked = 100 * fraction(canary["name"], require_fact(device, "serial")) < canary["percent"]
    return "canary" if picked else "stable"


def has_room(hub, device):
    comes_back = device.prior is not None and device.prior.hub == hub.name
    return comes_back or fullness(hub) < 1 - SETTINGS["keep-free"]


def within(value, least, most):
    return isinstance(value, (int, float)) and least <= value <= most


MOST_CELLS = 64

SCHEMA = {
    "title": "region-and-customer",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "keep-free": {
            "type": "number",
            "default": 0.1,
            "description": "How much of each hub is kept for pumps that come back, from 0 to 1.",
        },
        "canary": {
            "description": "Which pumps are canaries; none when left out.",
            "type": ["object", "null"],
            "additionalProperties": False,
            "required": ["name", "percent"],
            "properties": {
                "name": {"type": "string", "description": "Change it to pick others."},
                "percent": {"type": "number", "description": "How many in a hundred."},
            },
        },
        "cell-size": {"type": "integer", "default": 100, "description": "How many pumps a cell takes."},
    },
}
