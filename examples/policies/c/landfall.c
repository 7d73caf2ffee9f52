#include "landfall.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

bool same(text one, text other) { return one.len == other.len && memcmp(one.ptr, other.ptr, one.len) == 0; }

text join(int count, ...) {
  va_list parts;
  size_t len = 0, at = 0;
  va_start(parts, count);
  for (int part = 0; part < count; part++) len += va_arg(parts, text).len;
  va_end(parts);
  text all = { malloc(len ? len : 1), len };
  va_start(parts, count);
  for (int part = 0; part < count; part++) {
    text one = va_arg(parts, text);
    memcpy(all.ptr + at, one.ptr, one.len);
    at += one.len;
  }
  va_end(parts);
  return all;
}

text decimal(uint64_t number) {
  uint8_t digits[20];
  size_t begin = sizeof digits;
  do digits[--begin] = '0' + number % 10;
  while (number /= 10);
  return join(1, (text){ digits + begin, sizeof digits - begin });
}

text quoted(text plain) {
  static const char hex[] = "0123456789abcdef";
  text all = { malloc(6 * plain.len + 2), 0 };
  all.ptr[all.len++] = '"';
  for (size_t at = 0; at < plain.len; at++) {
    uint8_t byte = plain.ptr[at];
    if (byte < 0x20) {
      memcpy(all.ptr + all.len, "\\u00", 4);
      all.ptr[all.len + 4] = hex[byte >> 4];
      all.ptr[all.len + 5] = hex[byte & 15];
      all.len += 6;
    } else {
      if (byte == '"' || byte == '\\') all.ptr[all.len++] = '\\';
      all.ptr[all.len++] = byte;
    }
  }
  all.ptr[all.len++] = '"';
  return all;
}

const text *value_of(const landfall_policy_types_list_label_t *labels, text key) {
  for (size_t at = 0; at < labels->len; at++)
    if (same(labels->ptr[at].key, key)) return &labels->ptr[at].value;
  return NULL;
}

const text *require_fact(const device *device, text key, fault *err) {
  const text *value = value_of(&device->facts, key);
  if (value == NULL) {
    err->tag = LANDFALL_POLICY_TYPES_FAULT_BAD_INPUT;
    err->val.bad_input = join(3, T("the manufacturing record has no fact `"), key, T("`"));
  } else if (value->len == 0) {
    err->tag = LANDFALL_POLICY_TYPES_FAULT_BAD_INPUT;
    err->val.bad_input = join(3, T("the manufacturing record's fact `"), key, T("` is empty"));
    value = NULL;
  }
  return value;
}

double fullness(const hub *hub) {
  uint64_t taken = hub->assigned + hub->pending;
  uint64_t room = taken < hub->capacity ? hub->capacity - taken : 0;
  return hub->capacity == 0 ? 1.0 : 1.0 - (double)room / (double)hub->capacity;
}

static const uint64_t MULTIPLIER = 0xc6a4a7935bd1e995u;

// MurmurHash64A with seed 0.
static uint64_t stable_hash(text source) {
  uint64_t hash = source.len * MULTIPLIER;
  size_t words = source.len - source.len % 8;
  for (size_t at = 0; at < words; at += 8) {
    uint64_t word;
    memcpy(&word, source.ptr + at, 8);
    word *= MULTIPLIER;
    word = (word ^ (word >> 47)) * MULTIPLIER;
    hash = (hash ^ word) * MULTIPLIER;
  }
  if (words < source.len) {
    uint64_t word = 0;
    for (size_t at = source.len; at > words; at--) word = word << 8 | source.ptr[at - 1];
    hash = (hash ^ word) * MULTIPLIER;
  }
  hash = (hash ^ (hash >> 47)) * MULTIPLIER;
  return hash ^ (hash >> 47);
}

static uint64_t mix(uint64_t bits) {
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
  return bits ^ (bits >> 31);
}

double fraction(text salt, text key) {
  return (double)(mix(stable_hash(salt) + mix(stable_hash(key))) >> 11) / 9007199254740992.0;
}

// A library's logarithm may differ in the last bit, and one bit can move a device.
static double ln(double x) {
  static const double series_of[] = { 6.666666666666735e-1,  3.999999999940942e-1,  2.857142874366239e-1,
                                      2.2222198432149784e-1, 1.818357216161805e-1,  1.5313837699209373e-1,
                                      1.4798198605116586e-1 };
  uint64_t bits;
  memcpy(&bits, &x, 8);
  int exponent = (int)(bits >> 52) - 1023;
  bits = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1023 << 52;
  double mantissa;
  memcpy(&mantissa, &bits, 8);
  if (mantissa > 1.4142135623730951) {
    mantissa *= 0.5;
    exponent += 1;
  }
  double f = mantissa - 1.0, s = f / (2.0 + f), z = s * s, series = 0.0;
  for (int at = 6; at >= 0; at--) series = (series + series_of[at]) * z;
  double half_square = 0.5 * f * f;
  return exponent * 6.931471803691238e-1 -
         ((half_square - (s * (half_square + series) + exponent * 1.9082149292705877e-10)) - f);
}

static double score(uint64_t key, const hub *hub) {
  uint64_t bits = mix(key + mix(stable_hash(hub->name)));
  return hub->weight / -ln(((double)(bits >> 12) + 0.5) / 4503599627370496.0);
}

typedef struct { const hub *hub; double score; } ranked;

static int better(const void *one, const void *other) {
  const ranked *a = one, *b = other;
  if (a->score != b->score) return a->score > b->score ? -1 : 1;
  size_t len = a->hub->name.len < b->hub->name.len ? a->hub->name.len : b->hub->name.len;
  int order = memcmp(a->hub->name.ptr, b->hub->name.ptr, len);
  return order != 0 ? order : (a->hub->name.len > b->hub->name.len) - (a->hub->name.len < b->hub->name.len);
}

void rank(text key, const hub **hubs, size_t count) {
  uint64_t hashed = stable_hash(key);
  ranked *all = malloc((count ? count : 1) * sizeof *all);
  for (size_t at = 0; at < count; at++) all[at] = (ranked){ hubs[at], score(hashed, hubs[at]) };
  qsort(all, count, sizeof *all, better);
  for (size_t at = 0; at < count; at++) hubs[at] = all[at].hub;
}

void say(landfall_policy_log_level_t level, text message) {
  landfall_policy_log_list_label_t none = { NULL, 0 };
  if (landfall_policy_log_enabled(level)) landfall_policy_log_emit(level, &message, &none);
}

void panic(text message, text file, int line) {
  // The form in which the host reads where a policy panicked, as the Rust SDK has it.
  text number = decimal(line);
  landfall_policy_log_label_t fields[] = { { T("file"), file }, { T("line"), number } };
  landfall_policy_log_list_label_t list = { fields, 2 };
  text told = join(6, T("panicked at "), file, T(":"), number, T(":0: "), message);
  landfall_policy_log_emit(LANDFALL_POLICY_LOG_LEVEL_ERROR, &told, &list);
  __builtin_trap();
}

// The host has parsed the settings before: this only finds its way in JSON, and does not check it.
static void space(json *in) {
  while (in->at < in->end && (*in->at == ' ' || *in->at == '\t' || *in->at == '\n' || *in->at == '\r')) in->at++;
}

static bool sign(json *in, uint8_t wanted) {
  space(in);
  if (in->at == in->end || *in->at != wanted) return false;
  in->at++;
  return true;
}

// A text without its quotes; escapes stay as they are.
static bool string(json *in, text *out) {
  if (!sign(in, '"')) return false;
  out->ptr = (uint8_t *)in->at;
  for (; in->at < in->end && *in->at != '"'; in->at++)
    if (*in->at == '\\') in->at++;
  if (in->at >= in->end) return false;
  out->len = in->at++ - out->ptr;
  return true;
}

// Everything up to the end of an object or a list.
static bool nested(json *in) {
  int depth = 0;
  for (; in->at < in->end; in->at++) {
    text skipped;
    if (*in->at == '"') {
      if (!string(in, &skipped)) return false;
      in->at--;
    } else if (*in->at == '{' || *in->at == '[') {
      depth++;
    } else if ((*in->at == '}' || *in->at == ']') && --depth == 0) {
      in->at++;
      return true;
    }
  }
  return false;
}

bool json_begin(text source, json *object) {
  *object = (json){ source.ptr, source.ptr + source.len };
  return sign(object, '{');
}

bool json_next(json *in, json_member *member, bool *broken) {
  *broken = false;
  if (sign(in, '}')) return false;
  sign(in, ',');
  *broken = true;
  if (!string(in, &member->key) || !sign(in, ':')) return false;
  space(in);
  if (in->at == in->end) return false;
  const uint8_t *begin = in->at;
  if (*begin == '{' || *begin == '[') {
    if (!nested(in)) return false;
    member->kind = *begin == '{' ? JSON_OBJECT : JSON_OTHER;
    member->object = (json){ begin + 1, in->at };
  } else if (*begin == '"') {
    if (!string(in, &member->text)) return false;
    member->kind = JSON_TEXT;
  } else {
    while (in->at < in->end && *in->at != ',' && *in->at != '}' && *in->at > ' ') in->at++;
    text word = { (uint8_t *)begin, in->at - begin };
    bool number = *begin == '-' || (*begin >= '0' && *begin <= '9');
    member->kind = number ? JSON_NUMBER : same(word, T("null")) ? JSON_NULL : JSON_OTHER;
    // strtod wants an end.
    char *digits = (char *)join(2, word, (text){ (uint8_t *)"", 1 }).ptr;
    member->number = number ? strtod(digits, NULL) : 0.0;
  }
  *broken = false;
  return true;
}
