// Acme Pumps' policy in C: the same as in ../rust, the same decisions.
//
// 1. A pump stays in its region. No hub there with room: it waits.
// 2. A few pumps in a hundred, picked by serial number, are canaries, on hubs with the label ring=canary.
// 3. The last part of each hub is kept for pumps that come back.
// 4. Within a customer, pumps stand in cells of a limited size.

#include <stdlib.h>

#include "landfall.h"

enum { MOST_CELLS = 64, MOST_ALTERNATES = 2 };

static struct {
  double keep_free;
  bool canaries;
  text canary;
  double percent;
  double cell_size;
} settings;

static const char SCHEMA[] =
    "{\"title\":\"region-and-customer\",\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"keep-free\":{\"type\":\"number\",\"default\":0.1,"
    "\"description\":\"How much of each hub is kept for pumps that come back, from 0 to 1.\"},"
    "\"canary\":{\"type\":[\"object\",\"null\"],\"additionalProperties\":false,\"required\":[\"name\",\"percent\"],"
    "\"description\":\"Which pumps are canaries; none when left out.\",\"properties\":{"
    "\"name\":{\"type\":\"string\",\"description\":\"Change it to pick others.\"},"
    "\"percent\":{\"type\":\"number\",\"description\":\"How many in a hundred.\"}}},"
    "\"cell-size\":{\"type\":\"integer\",\"default\":100,\"description\":\"How many pumps a cell takes.\"}}}";

void exports_landfall_policy_control_describe(exports_landfall_policy_control_description_t *ret) {
  policy_string_dup(&ret->name, "region-and-customer");
  policy_string_dup(&ret->version, "1.0.0");
  policy_string_dup(&ret->summary, "Keeps devices in their region, canaries on hubs of their own, and each customer's devices in cells");
  ret->settings_schema.is_some = true;
  policy_string_dup(&ret->settings_schema.val, SCHEMA);
}

static void problem(exports_landfall_policy_control_list_problem_t *all, text pointer, text message) {
  all->ptr = realloc(all->ptr, (all->len + 1) * sizeof *all->ptr);
  all->ptr[all->len++] = (exports_landfall_policy_control_problem_t){ join(1, pointer), join(1, message) };
}

bool exports_landfall_policy_control_configure(exports_landfall_policy_control_json_text_t *given,
                                               exports_landfall_policy_control_list_problem_t *err) {
  json object;
  json_member member;
  bool broken, good_canary = true;
  *err = (exports_landfall_policy_control_list_problem_t){ NULL, 0 };
  settings.keep_free = 0.1;
  settings.cell_size = 100;
  if (!json_begin(*given, &object)) {
    problem(err, T(""), T("settings are a JSON object"));
    return false;
  }
  while (json_next(&object, &member, &broken)) {
    double number = member.kind == JSON_NUMBER ? member.number : -1;
    if (same(member.key, T("keep-free"))) {
      settings.keep_free = number;
    } else if (same(member.key, T("cell-size"))) {
      settings.cell_size = number;
    } else if (same(member.key, T("canary"))) {
      json_member inner;
      settings.canaries = member.kind != JSON_NULL;
      settings.percent = -1;
      while (member.kind == JSON_OBJECT && json_next(&member.object, &inner, &broken)) {
        if (same(inner.key, T("name")) && inner.kind == JSON_TEXT) settings.canary = join(1, inner.text);
        if (same(inner.key, T("percent")) && inner.kind == JSON_NUMBER) settings.percent = inner.number;
      }
      good_canary = !settings.canaries || (settings.percent >= 0 && settings.percent <= 100);
    } else {
      problem(err, join(2, T("/"), member.key), T("unknown; known are `keep-free`, `canary` and `cell-size`"));
    }
  }
  if (broken) problem(err, T(""), T("settings are a JSON object"));
  if (!(settings.keep_free >= 0 && settings.keep_free < 1)) problem(err, T("/keep-free"), T("from 0 to less than 1"));
  if (!good_canary) problem(err, T("/canary/percent"), T("from 0 to 100"));
  if (!(settings.cell_size >= 1) || settings.cell_size != (double)(uint64_t)settings.cell_size)
    problem(err, T("/cell-size"), T("a cell takes at least one pump"));
  return err->len == 0;
}

// Which ring a pump is in; null when too little is known of it.
static const text *ring_of(const device *device, fault *err) {
  static const text canary = { (uint8_t *)"canary", 6 }, stable = { (uint8_t *)"stable", 6 };
  if (!settings.canaries) return &stable;
  const text *serial = require_fact(device, T("serial"), err);
  if (serial == NULL) return NULL;
  return 100 * fraction(settings.canary, *serial) < settings.percent ? &canary : &stable;
}

static bool comes_back(const hub *hub, const device *device) {
  return device->prior.is_some && same(device->prior.val.hub, hub->name);
}

static bool label_is(const hub *hub, text key, text wanted) {
  text value;
  return landfall_policy_catalog_hub_label(hub->handle, &key, &value) && same(value, wanted);
}

static bool assign(const hub **hubs, size_t count, text code, text detail,
                   exports_landfall_policy_hub_selection_outcome_t *ret) {
  ret->tag = EXPORTS_LANDFALL_POLICY_HUB_SELECTION_OUTCOME_ASSIGN;
  exports_landfall_policy_hub_selection_choice_t *choice = &ret->val.assign;
  size_t alternates = count - 1 < MOST_ALTERNATES ? count - 1 : MOST_ALTERNATES;
  choice->hub = hubs[0]->handle;
  choice->alternates.ptr = malloc((alternates + 1) * sizeof *choice->alternates.ptr);
  choice->alternates.len = alternates;
  for (size_t at = 0; at < alternates; at++) choice->alternates.ptr[at] = hubs[at + 1]->handle;
  choice->device_id.is_some = false;
  choice->reasons.ptr = malloc(sizeof *choice->reasons.ptr);
  choice->reasons.len = 1;
  choice->reasons.ptr[0] = (landfall_policy_types_reason_t){ join(1, code), detail };
  return true;
}

bool exports_landfall_policy_hub_selection_select_hub(
    exports_landfall_policy_hub_selection_call_t *call, exports_landfall_policy_hub_selection_device_t *device,
    exports_landfall_policy_hub_selection_list_hub_t *candidates, exports_landfall_policy_hub_selection_outcome_t *ret,
    exports_landfall_policy_hub_selection_fault_t *err) {
  (void)call;
  const text *region = require_fact(device, T("region"), err);
  const text *ring = region == NULL ? NULL : ring_of(device, err);
  if (ring == NULL) return false;

  const hub **suitable = malloc((candidates->len + 1) * sizeof *suitable);
  size_t count = 0;
  for (size_t at = 0; at < candidates->len; at++) {
    const hub *hub = &candidates->ptr[at];
    bool suits = label_is(hub, T("region"), *region) &&
                 label_is(hub, T("ring"), T("canary")) == same(*ring, T("canary")) &&
                 (comes_back(hub, device) || fullness(hub) < 1 - settings.keep_free);
    if (landfall_policy_log_enabled(LANDFALL_POLICY_LOG_LEVEL_DEBUG))
      say(LANDFALL_POLICY_LOG_LEVEL_DEBUG, join(3, T("looked at "), hub->name, suits ? T(", which suits") : T("")));
    if (suits) suitable[count++] = hub;
  }

  for (size_t at = 0; at < count; at++)
    if (comes_back(suitable[at], device))
      return assign(&suitable[at], 1, T("came-back"), join(1, T("it was on this hub before")), ret);
  text why = join(3, *ring, T(" pump in "), *region);
  if (count > 0) {
    rank(device->registration_id, suitable, count);
    return assign(suitable, count, T("region-and-ring"), why, ret);
  }
  ret->tag = EXPORTS_LANDFALL_POLICY_HUB_SELECTION_OUTCOME_DEFER;
  ret->val.defer.retry_after_ms = 60000;
  ret->val.defer.reason = (landfall_policy_types_reason_t){ join(1, T("region-full")), join(2, T("no hub takes a "), why) };
  return true;
}

bool exports_landfall_policy_grouping_place(exports_landfall_policy_grouping_call_t *call,
                                            exports_landfall_policy_grouping_device_t *device,
                                            exports_landfall_policy_grouping_hub_t *hub,
                                            exports_landfall_policy_grouping_placement_t *ret,
                                            exports_landfall_policy_grouping_fault_t *err) {
  (void)call, (void)hub;
  const text *customer = require_fact(device, T("customer"), err);
  const text *site = customer == NULL ? NULL : require_fact(device, T("site"), err);
  const text *ring = site == NULL ? NULL : ring_of(device, err);
  if (ring == NULL) return false;
  for (int number = 1; number <= MOST_CELLS; number++) {
    text cell = join(2, T("cell-"), decimal(number));
    text *path = malloc(3 * sizeof *path);
    path[0] = join(1, *customer), path[1] = join(1, *site), path[2] = cell;
    policy_list_string_t group = { path, 3 };
    if ((double)landfall_policy_catalog_group_count(&group) >= settings.cell_size) continue;
    landfall_policy_types_label_t *tags = malloc(2 * sizeof *tags);
    tags[0] = (landfall_policy_types_label_t){ join(1, T("customer")), quoted(*customer) };
    tags[1] = (landfall_policy_types_label_t){ join(1, T("ring")), quoted(*ring) };
    landfall_policy_types_reason_t *reason = malloc(sizeof *reason);
    *reason = (landfall_policy_types_reason_t){ join(1, T("customer-site-cell")), join(4, cell, T(" of "), *site, T(" has room")) };
    *ret = (exports_landfall_policy_grouping_placement_t){
      .group_path = group,
      .tags = { tags, 2 },
      // An object: the devices' SDKs for Java and C take no other reply.
      .reply = { true, join(3, T("{\"message\":"), quoted(join(2, T("welcome to "), *site)), T("}")) },
      .reasons = { reason, 1 },
    };
    return true;
  }
  err->tag = LANDFALL_POLICY_TYPES_FAULT_UNSUPPORTED;
  err->val.unsupported = join(5, T("all "), decimal(MOST_CELLS), T(" cells of "), *site, T(" are full"));
  return false;
}
