// The interface `same` in C, over the bindings that `wit-bindgen c` writes.

#include "languages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAME(name) exports_toolgate_tests_languages_same_##name

// The length in bytes of the character that begins here: the text is UTF-8, which the component model makes sure of.
static size_t width(uint8_t byte) {
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

void SAME(greet)(SAME(person_t) * person, languages_string_t *ret) {
  size_t room = person->name.len + 32;
  char *text = malloc(room);
  int length = (int)person->name.len;
  const char *name = (const char *)person->name.ptr;
  ret->len = (size_t)(person->age.is_some ? snprintf(text, room, "Grüß dich, %.*s (%u).", length, name, person->age.val)
                                          : snprintf(text, room, "Grüß dich, %.*s.", length, name));
  ret->ptr = (uint8_t *)text;
}

void SAME(backwards)(languages_string_t *text, languages_string_t *ret) {
  ret->len = text->len;
  ret->ptr = malloc(text->len);
  for (size_t at = 0; at < text->len;) {
    size_t bytes = width(text->ptr[at]);
    memcpy(ret->ptr + text->len - at - bytes, text->ptr + at, bytes);
    at += bytes;
  }
}

bool SAME(first)(languages_string_t *text, uint32_t *ret) {
  if (text->len == 0) {
    return false;
  }
  static const uint8_t masks[] = {0x7f, 0x1f, 0x0f, 0x07};
  size_t bytes = width(text->ptr[0]);
  *ret = text->ptr[0] & masks[bytes - 1];
  for (size_t at = 1; at < bytes; at++) {
    *ret = *ret << 6 | (text->ptr[at] & 0x3f);
  }
  return true;
}

uint32_t SAME(letter)(uint32_t letter) { return letter; }

SAME(colour_t) SAME(next)(SAME(colour_t) colour) { return (SAME(colour_t))((colour + 1) % 3); }

SAME(rights_t) SAME(others)(SAME(rights_t) rights) { return (SAME(rights_t))(~rights & 7); }

int64_t SAME(sum)(languages_list_s64_t *numbers) {
  int64_t total = 0;
  for (size_t at = 0; at < numbers->len; at++) {
    total += numbers->ptr[at];
  }
  return total;
}

void SAME(wide)(uint64_t first, int64_t second, languages_tuple2_u64_s64_t *ret) {
  ret->f0 = first;
  ret->f1 = second;
}

void SAME(reverse)(languages_list_u8_t *bytes, languages_list_u8_t *ret) {
  ret->len = bytes->len;
  ret->ptr = malloc(bytes->len);
  for (size_t at = 0; at < bytes->len; at++) {
    ret->ptr[at] = bytes->ptr[bytes->len - 1 - at];
  }
}

void SAME(swap)(languages_tuple2_s32_string_t *pair, languages_tuple2_string_s32_t *ret) {
  ret->f0 = pair->f1;
  ret->f1 = pair->f0;
}

bool SAME(area)(SAME(figure_t) * figure, double *ret, languages_string_t *err) {
  double radius = figure->val.circle;
  switch (figure->tag) {
  case EXPORTS_TOOLGATE_TESTS_LANGUAGES_SAME_FIGURE_CIRCLE:
    if (radius < 0) {
      languages_string_dup(err, "a radius is not negative – ever");
      return false;
    }
    *ret = 3 * radius * radius;
    return true;
  case EXPORTS_TOOLGATE_TESTS_LANGUAGES_SAME_FIGURE_POLYGON:
    *ret = (double)figure->val.polygon.len;
    return true;
  default:
    *ret = 0;
    return true;
  }
}

bool SAME(half)(double *number, double *ret) {
  if (number == NULL) {
    return false;
  }
  *ret = *number / 2;
  return true;
}

void SAME(later)(SAME(list_family_t) * families, SAME(list_family_t) * ret) {
  for (size_t at = 0; at < families->len; at++) {
    SAME(list_person_t) members = families->ptr[at].members;
    for (size_t left = 0; left < members.len / 2; left++) {
      SAME(person_t) person = members.ptr[left];
      members.ptr[left] = members.ptr[members.len - 1 - left];
      members.ptr[members.len - 1 - left] = person;
    }
    for (size_t member = 0; member < members.len; member++) {
      members.ptr[member].age.val++;
    }
  }
  *ret = *families;
}

void SAME(verdict)(SAME(result_u32_string_t) * outcome, SAME(tuple2_result_string_u32_bool_t) * ret) {
  ret->f1 = !outcome->is_err;
  ret->f0.is_err = !outcome->is_err;
  if (outcome->is_err) {
    ret->f0.val.ok = outcome->val.err;
  } else {
    ret->f0.val.err = outcome->val.ok;
  }
}

void SAME(nothing)(void) {}
