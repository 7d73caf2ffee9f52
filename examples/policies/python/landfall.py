"""What every policy in Python can use: copy this file beside your own.

Nothing here may ever change its answers: where a device belongs follows from them. The numbers are those of the Rust
SDK, bit for bit (MurmurHash64A, SplitMix64's finaliser, fdlibm's logarithm), so that a policy can move from one language
to the other and no device moves with it.
"""

import json
import struct
from functools import reduce, wraps

from componentize_py_types import Err
from wit_world.exports.control import Problem
from wit_world.imports import log
from wit_world.imports.types import Fault_BadInput, Fault_Unsupported, Label


def exported(policy):
    """For the classes that a policy exports: an exception is told to its author, with its message and where it was raised,
    before it ends the call. What is raised as an answer (`bad_input`, `unsupported`, `Err` of problems) stays one."""
    for name, method in list(vars(policy).items()):
        if callable(method) and not name.startswith("_"):
            setattr(policy, name, _telling(method))
    return policy


def _telling(method):
    @wraps(method)
    def told(*given):
        try:
            return method(*given)
        except Err:
            raise
        except BaseException as error:
            _tell(error)
            raise

    return told


def _tell(error):
    # The form in which the host reads where a policy panicked, as the Rust SDK has it. Python's own `traceback` would look
    # for the sources, which are not there.
    frames = []
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        frames.append((code.co_filename.rsplit("/", 1)[-1], step.tb_lineno, code.co_name))
        step = step.tb_next
    file, line, _ = frames[-1]
    stack = " < ".join(f"{name} at {file}:{line}" for file, line, name in reversed(frames[1:][-20:]))
    fields = [Label("file", file), Label("line", str(line)), Label("stack", stack)]
    log.emit(log.Level.ERROR, f"panicked at {file}:{line}:0: {type(error).__name__}: {error}", fields)


def value_of(labels, key):
    """The value of a label, fact, claim or tag; None when there is none."""
    return next((label.value for label in labels if label.key == key), None)


def require_fact(device, key):
    """A fact without which the policy cannot decide. An empty one is none."""
    value = value_of(device.facts, key)
    if value is None:
        raise bad_input(f"the manufacturing record has no fact `{key}`")
    if value == "":
        raise bad_input(f"the manufacturing record's fact `{key}` is empty")
    return value


def unsupported(why):
    """The policy does not handle such devices or candidates. Raise it."""
    return Err(Fault_Unsupported(why))


def bad_input(why):
    """Something that the policy was given is wrong. Raise it."""
    return Err(Fault_BadInput(why))


def fullness(hub):
    """How full a hub is, from 0 to 1; registrations under way count."""
    room = max(hub.capacity - hub.assigned - hub.pending, 0)
    return 1.0 if hub.capacity == 0 else 1.0 - room / hub.capacity


def debug(message, **fields):
    """Keeps a log line with the decision, if lines of this level are kept."""
    if log.enabled(log.Level.DEBUG):
        log.emit(log.Level.DEBUG, message, [Label(key, str(value)) for key, value in fields.items()])


def read_settings(text, defaults):
    """Gives a policy its settings: unknown members are problems, missing ones get their defaults."""
    try:
        given = json.loads(text or "{}") or {}
    except ValueError as error:
        raise Err([Problem("", str(error))]) from None
    if not isinstance(given, dict):
        raise Err([Problem("", "settings are a JSON object")])
    known = ", ".join(f"`{key}`" for key in defaults)
    problems = [
        Problem("/" + key.replace("~", "~0").replace("/", "~1"), f"unknown field `{key}`, expected one of {known}")
        for key in given
        if key not in defaults
    ]
    if problems:
        raise Err(problems)
    return {**defaults, **given}


def fraction(salt, key):
    """Where a key falls between 0 (included) and 1 (excluded), for ever."""
    return (_mix(stable_hash(salt) + _mix(stable_hash(key)) & _U64) >> 11) / 2**53


def rank(key, hubs, count):
    """The best `count` hubs for a key, best first: weighted rendezvous hashing."""
    hashed = stable_hash(key)
    return sorted(hubs, key=lambda hub: (-_score(hashed, hub), hub.name))[:count]


def _score(key, hub):
    bits = _mix(key + _mix(stable_hash(hub.name)) & _U64)
    u = ((bits >> 12) + 0.5) / 2**52
    return hub.weight / -_ln(u)


def stable_hash(text):
    """A 64-bit hash of a text: MurmurHash64A with seed 0 over its UTF-8."""
    data = text.encode()
    words = len(data) - len(data) % 8
    value = len(data) * _MULTIPLIER & _U64
    for (word,) in struct.iter_unpack("<Q", data[:words]):
        word = word * _MULTIPLIER & _U64
        word = (word ^ (word >> _SHIFT)) * _MULTIPLIER & _U64
        value = (value ^ word) * _MULTIPLIER & _U64
    if data[words:]:
        value = (value ^ int.from_bytes(data[words:], "little")) * _MULTIPLIER & _U64
    value = (value ^ (value >> _SHIFT)) * _MULTIPLIER & _U64
    return value ^ (value >> _SHIFT)


def _mix(bits):
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 & _U64
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB & _U64
    return bits ^ (bits >> 31)


def _ln(x):
    # math.log may differ in the last bit from machine to machine, and one bit can move a device.
    bits = struct.unpack("<Q", struct.pack("<d", x))[0]
    exponent = (bits >> 52) - 1023
    mantissa = struct.unpack("<d", struct.pack("<Q", bits & (1 << 52) - 1 | 1023 << 52))[0]
    if mantissa > 1.4142135623730951:
        mantissa *= 0.5
        exponent += 1
    f = mantissa - 1.0
    s = f / (2.0 + f)
    z = s * s
    series = reduce(lambda total, factor: (total + factor) * z, reversed(_LG), 0.0)
    half_square = 0.5 * f * f
    return exponent * _LN2_HIGH - ((half_square - (s * (half_square + series) + exponent * _LN2_LOW)) - f)


_U64 = (1 << 64) - 1
_MULTIPLIER = 0xC6A4A7935BD1E995
_SHIFT = 47
_LN2_HIGH = 6.931471803691238e-1
_LN2_LOW = 1.9082149292705877e-10
_LG = [
    6.666666666666735e-1,
    3.999999999940942e-1,
    2.857142874366239e-1,
    2.2222198432149784e-1,
    1.818357216161805e-1,
    1.5313837699209373e-1,
    1.4798198605116586e-1,
]
