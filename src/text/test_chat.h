/* test_chat.h: what tests of chat templates share. */
#ifndef HYMN_TEXT_TEST_CHAT_H
#define HYMN_TEXT_TEST_CHAT_H

#include "base/err.h"
#include "base/mem.h"
#include "text/chat.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static inline char *
fixture(const char *name)
{
  const char *dir = getenv("HYMN_SRCDIR");

  if (!dir)
    dir = getenv("srcdir");
  return hy_asprintf("%s/regression/fixtures/chat/%s", dir ? dir : ".", name);
}

/* Conversations that use everything a template has a form for: a list of
 * {messages, tools}. */
static inline json_t *
sample(void)
{
  static const char text[] =
      "[{\"messages\": ["
      "{\"role\": \"system\", \"content\": \" Be brief. \"},"
      "{\"role\": \"user\", \"content\": \"2 + 2?\"},"
      "{\"role\": \"assistant\", \"content\": \"4\","
      " \"reasoning_content\": \" Count. \"},"
      "{\"role\": \"user\", \"content\": \"And 3 + 3?\"},"
      "{\"role\": \"assistant\", \"content\": \"<think>Again.</think> 6\"}]},"
      " {\"messages\": ["
      "{\"role\": \"user\", \"content\": \"Rain in \\u00dclm?\"},"
      "{\"role\": \"assistant\", \"content\": null, \"tool_calls\": ["
      "{\"function\": {\"name\": \"rain\", \"arguments\":"
      " \"{\\\"at\\\": \\\"\\u00dclm\\\", \\\"days\\\": [1, 2.50]}\"}},"
      "{\"name\": \"wind\", \"arguments\": {\"at\": null}}]},"
      "{\"role\": \"tool\", \"content\": \"none\"},"
      "{\"role\": \"tool\", \"content\": {\"wind\": true}},"
      "{\"role\": \"assistant\", \"content\": \"No.\"}],"
      " \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"rain\","
      " \"description\": \" Rain. \", \"strict\": true, \"parameters\": {"
      "\"type\": \"object\", \"additionalProperties\": false,"
      " \"properties\": {\"at\": {\"type\": [\"string\", \"null\"],"
      " \"description\": \"Place \", \"enum\": [\"\\u00dclm\", \"it's\"]},"
      " \"days\": {\"type\": \"array\", \"items\": {\"type\": \"number\"},"
      " \"default\": 1e-7}}, \"required\": [\"at\"]}}}, {\"name\": "
      "\"wind\"}]}]";
  json_t *list = json_loads(text, 0, NULL);

  assert_non_null(list);
  return list;
}

#endif
