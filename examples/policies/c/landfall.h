// What every policy in C can use: copy landfall.h and landfall.c beside your own.
//
// Nothing here may ever change its answers: where a device belongs follows from them. The numbers are those of the Rust SDK,
// bit for bit (MurmurHash64A, SplitMix64's finaliser, fdlibm's logarithm), so that a policy can move from one language to the
// other and no device moves with it.
#ifndef LANDFALL_H
#define LANDFALL_H

#include "bindings/policy.h"

typedef policy_string_t text;
typedef landfall_policy_types_device_t device;
typedef landfall_policy_types_hub_t hub;
typedef landfall_policy_types_fault_t fault;

// A text that is part of the program.
#define T(literal) ((text){ (uint8_t *)("" literal), sizeof(literal) - 1 })

bool same(text one, text other);
// Texts one after the other. `join` takes their number first.
text join(int count, ...);
text decimal(uint64_t number);
// A text as a JSON text.
text quoted(text plain);

// The value of a label, fact, claim or tag; null when there is none.
const text *value_of(const landfall_policy_types_list_label_t *labels, text key);
// A fact without which the policy cannot decide, an empty one among them: null, and `err` says so.
const text *require_fact(const device *device, text key, fault *err);

// How full a hub is, from 0 to 1; registrations under way count.
double fullness(const hub *hub);
// Where a key falls between 0 (included) and 1 (excluded), for ever.
double fraction(text salt, text key);
// Puts hubs into the order of a key, best first: weighted rendezvous hashing.
void rank(text key, const hub **hubs, size_t count);

// Keeps a log line with the decision.
void say(landfall_policy_log_level_t level, text message);
// Ends the call, and tells the author why and where.
#define PANIC(message) panic(T(message), T(__FILE__), __LINE__)
_Noreturn void panic(text message, text file, int line);

// Reads an object of JSON, member after member.
typedef struct { const uint8_t *at, *end; } json;
typedef enum { JSON_NULL, JSON_NUMBER, JSON_TEXT, JSON_OBJECT, JSON_OTHER } json_kind;
typedef struct { text key; json_kind kind; double number; text text; json object; } json_member;
// False at the end, and when it is no JSON: `*broken` tells them apart.
bool json_next(json *object, json_member *member, bool *broken);
// False when the text is no object.
bool json_begin(text source, json *object);

#endif
