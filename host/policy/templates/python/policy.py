"""{{name}}: a device goes to a hub of its own region.

The fact `region` of the manufacturing record says where the device is; the label `region` of a hub, where the hub is.
Make it yours: `Control` takes the settings, the decisions are the classes below it.
"""

import json
import re

from componentize_py_types import Err
{{#selects}}
from landfall import bad_input, debug, exported, rank, read_settings, require_fact
{{/selects}}
{{#only-places}}
from landfall import bad_input, exported, read_settings, require_fact
{{/only-places}}
from wit_world import exports
from wit_world.exports.control import Description, Problem
{{#places}}
from wit_world.exports.grouping import Placement
{{/places}}
{{#selects}}
from wit_world.exports.hub_selection import Choice, Deferral, Outcome_Assign, Outcome_Defer
from wit_world.imports.catalog import hub_label
{{/selects}}
{{#only-selects}}
from wit_world.imports.types import Reason
{{/only-selects}}
{{#places}}
from wit_world.imports.types import Label, Reason
{{/places}}

SETTINGS = {}


@exported
class Control(exports.Control):
    def describe(self):
        return Description("{{name}}", "0.1.0", "Sends devices to hubs of their region", json.dumps(SCHEMA))

    def configure(self, settings):
{{#selects}}
        given = read_settings(settings, {"region-key": "region", "retry-seconds": 60})
{{/selects}}
{{#only-places}}
        given = read_settings(settings, {"region-key": "region"})
{{/only-places}}
        if given["region-key"] == "":
            raise Err([Problem("/region-key", "name a fact")])
        SETTINGS.update(given)


{{#selects}}
@exported
class HubSelection(exports.HubSelection):
    def select_hub(self, call, device, candidates):
        region = region_of(device)
        here = []
        for hub in candidates:
            of_hub = hub_label(hub.handle, SETTINGS["region-key"])
            debug("looked at", hub=hub.name, region=of_hub or "-")
            if of_hub == region:
                here.append(hub)
        # The same device always gets the same hub, and a new hub takes only its share.
        ranking = rank(device.registration_id, here, 3)
        if not ranking:
            reason = Reason("region-full", f"no hub in {region} takes a device")
            return Outcome_Defer(Deferral(1000 * SETTINGS["retry-seconds"], reason))
        hub, *alternates = ranking
        reasons = [Reason("in-region", f"a hub in {region}")]
        return Outcome_Assign(Choice(hub.handle, [other.handle for other in alternates], None, reasons))


{{/selects}}
{{#places}}
@exported
class Grouping(exports.Grouping):
    def place(self, call, device, hub):
        region = region_of(device)
        reasons = [Reason("by-region", f"made for {region}")]
        return Placement([region], [Label("region", json.dumps(region))], None, None, reasons)


{{/places}}
def region_of(device):
    """The device's region. It becomes part of a path, and a manufacturer may write anything into a fact."""
    region = require_fact(device, SETTINGS["region-key"])
    if not re.fullmatch("[A-Za-z0-9-]{1,64}", region):
        raise bad_input(f"{json.dumps(region)} is no region")
    return region


SCHEMA = {
    "title": "{{name}}",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "region-key": {
            "type": "string",
            "default": "region",
            "description": "The fact and the label that must be the same.",
        },
{{#selects}}
        "retry-seconds": {
            "type": "integer",
            "default": 60,
            "description": "Seconds until a device asks again when no hub of its region takes it.",
        },
{{/selects}}
    },
}
