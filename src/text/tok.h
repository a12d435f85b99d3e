/* tok.h: inside the tokenizer; only tok*.c and their tests
 * include it. */
#ifndef HYMN_TEXT_TOK_H
#define HYMN_TEXT_TOK_H

#define PCRE2_CODE_UNIT_WIDTH 8

#include "base/hash.h"
#include "text/tokenizer.h"

#include <pcre2.h>

#define HY_TOK_ID_MAX (1 << 24)

/** End of the match at s, which begins there (tok_scan.c).
 *  \param class  of each character, hy_tok_classes */
typedef const char *hy_tok_scan(const unsigned char *class, const char *s,
                                const char *end);

/* A split pattern with a function for it; a list ends with NULL. */
typedef struct {
  const char *pattern;
  hy_tok_scan *scan;
} hy_tok_known;

/* What a Split does with its matches. */
enum {
  HY_TOK_ISOLATED, /* pieces of their own */
  HY_TOK_REMOVED,
  HY_TOK_CONTIGUOUS, /* one piece, as far as they touch */
  HY_TOK_PREVIOUS,   /* joined to the gap before them */
  HY_TOK_NEXT        /* joined to the gap after them */
};

/* Part of the split before BPE: a regex cuts a piece into matches and gaps. */
typedef struct {
  pcre2_code *re;    /* NULL: no cut, only the prefix space */
  hy_tok_scan *scan; /* the same as re, faster; NULL: there is none */
  int behavior;      /* what becomes of matches, HY_TOK_... */
  int invert;        /* matches and gaps change roles */
  int prefix_space;  /* first put a space before a piece without one */
} hy_tok_step;

#define HY_TOK_STEPS_MAX 16

/* An added token. */
typedef struct {
  char *content;
  char *text; /* what is matched: NFC of content when `normalized` says so */
  size_t len; /* of text */
  int32_t id;
  unsigned char special, lstrip, rstrip, single_word, normalized;
} hy_tok_added;

/* A trie over added tokens; children are a linked list, as they are few. */
typedef struct {
  int32_t child, next, added; /* -1: none; added: index of the token here */
  unsigned char byte;
} hy_tok_node;

typedef struct {
  hy_tok_node *node; /* node[0] is the root */
  int32_t n, cap;
  unsigned char first[256]; /* 1: some token begins with this byte */
} hy_tok_trie;

/* Merge of two ids. */
typedef struct {
  uint64_t key; /* left << 32 | right; HY_TOK_NO_KEY: free slot */
  int32_t rank, id;
} hy_tok_merge;

#define HY_TOK_NO_KEY UINT64_MAX

/* A short piece met before: its bytes, zeros, its length in the last byte. */
typedef struct {
  uint64_t key[2];
  int32_t n; /* ids; more than 3: id[0] is their place in the pool */
  int32_t id[3];
} hy_tok_slot;

/* A longer one; overwritten by the next that maps there. */
typedef struct {
  uint32_t hash;
  unsigned char len, n;
  char text[58];
  int32_t id[16];
} hy_tok_wide;

/* Pieces met before, and their ids (tok_cache.c). */
typedef struct {
  hy_tok_slot *slot; /* in pairs, the newer first */
  hy_tok_wide *wide;
  int32_t *pool;
  int32_t n_pool;
  hy_ids work;
} hy_tok_cache;

/* Work space of one merge. */
typedef struct {
  int32_t id, prev, next;
} hy_tok_sym;

/* Where ids go, and how the bytes that are being read lie in the text. */
typedef struct {
  hy_ids *ids;
  hy_tok_places *at;   /* NULL: not wanted */
  const char *origin;  /* this byte stands at `base` of the text */
  int64_t base, first; /* no place begins before `first`, none is empty */
} hy_tok_sink;

struct hy_tok {
  char hash[HY_SHA_HEX];
  int32_t n; /* ids are < n */
  int32_t eos, bos;
  int nfc, ignore_merges;
  int32_t unk;
  int holes;            /* some bytes have no token: unk stands for them */
  hy_ids before, after; /* what the post-processor puts around a text */

  /* text of each id after the byte-level alphabet is undone */
  char *bytes;
  size_t *off;            /* (n) */
  int32_t *len;           /* (n), -1: no such token */
  unsigned char *special; /* (n) */
  int32_t byte_id[256];   /* -1: the vocabulary lacks this byte */
  int32_t *entry;         /* hash table of vocabulary ids by bytes, -1: free */
  uint32_t entry_mask;
  size_t longest; /* bytes of an entry */
  hy_tok_merge *merge;
  uint32_t merge_mask;

  hy_tok_added *added;
  int32_t n_added;
  hy_tok_trie raw, normal; /* tokens found before and after normalization */
  pcre2_code *word;        /* one character of a word, for single_word */

  hy_tok_step step[HY_TOK_STEPS_MAX];
  int n_steps;
  pcre2_match_data *md;
  pcre2_match_context *mc;
  pcre2_jit_stack *stack;

  unsigned char *class; /* of each character, for the scanners */

  hy_tok_cache cache;
  hy_tok_sym *sym;
  uint64_t *heap;
  size_t n_sym, n_heap; /* capacities */
};

/* tok_load.c */
int hy_tok_load(hy_tok *t, const char *path);

/* tok_regex.c */
int hy_tok_compile(pcre2_code **re, const char *pattern, int literal,
                   const char *where);
/** GPT-2's split, which ByteLevel with use_regex means. */
extern const char hy_tok_gpt2[];
/* tok_split.c */
/** Cut text by the steps from `step` on and append the ids of the pieces. */
int hy_tok_pieces(hy_tok *t, int step, const char *text, size_t n,
                  const hy_tok_sink *out);
/** Make t->word. */
int hy_tok_word_new(hy_tok *t);
/** 1 if the character at s counts as part of a word. */
int hy_tok_is_word(hy_tok *t, const char *s, size_t n);
/** 1 if code point c has White_Space. */
int hy_tok_is_space(uint32_t c);

/* tok_added.c */
void hy_tok_trie_add(hy_tok_trie *trie, const char *s, size_t n, int32_t added);
/** Longest token at s; its index and *len, or -1. */
int32_t hy_tok_trie_find(const hy_tok_trie *trie, const char *s, size_t n,
                         size_t *len);
/** Find added tokens in valid UTF-8 and encode what lies between. */
int hy_tok_text(hy_tok *t, const char *text, size_t n, int plain,
                const hy_tok_sink *out);
/** An id and, if places are wanted, that it stands for n bytes at s. */
void hy_tok_put(const hy_tok_sink *out, int32_t id, const char *s, size_t n);

/* tok_nfc.c */
/* Normalization changed n bytes at `at` from `was` bytes at `from`. */
typedef struct {
  int64_t at, n, from, was;
} hy_tok_bend;

typedef struct {
  hy_tok_bend *v;
  size_t n, cap;
} hy_tok_bends;

/** NFC of n bytes, appended.
 *  \param bends  gets the places that change, in order; NULL: not wanted */
int hy_tok_nfc(const char *text, size_t n, hy_buf *out, hy_tok_bends *bends);
/** Turn n places in the normalized text into places in the text. */
void hy_tok_unbend(const hy_tok_bends *bends, hy_tok_place *v, size_t n,
                   int64_t base);

/* tok_bpe.c */
void hy_tok_entries_new(hy_tok *t, size_t n);
void hy_tok_entry_add(hy_tok *t, int32_t id);
int32_t hy_tok_entry_find(const hy_tok *t, const char *s, size_t n);
void hy_tok_merges_new(hy_tok *t, size_t n);
void hy_tok_merge_add(hy_tok *t, int32_t left, int32_t right, int32_t rank,
                      int32_t id);
/** Ids of one piece, appended; n > 0. Slow: see hy_tok_piece. */
void hy_tok_bpe(hy_tok *t, const char *s, size_t n, hy_ids *out);
/** Places of these ids, from number `done` on. */
void hy_tok_bpe_places(const hy_tok *t, const char *s, size_t n, size_t done,
                       const hy_tok_sink *out);

/* tok_cache.c */
void hy_tok_cache_new(hy_tok_cache *c);
void hy_tok_cache_free(hy_tok_cache *c);
/** Ids of one piece, appended.
 *  \param end  bytes before it may be read */
void hy_tok_piece(hy_tok *t, const char *s, size_t n, const char *end,
                  hy_ids *out);

/* tok_scan.c, tok_table.c */
#define HY_TOK_CODES 0x110000
extern const uint32_t hy_tok_table[];
extern const hy_tok_known hy_tok_knowns[];
/** Classes of all HY_TOK_CODES characters. */
void hy_tok_classes(unsigned char *class);
/** The function for a pattern, NULL: there is none. */
hy_tok_scan *hy_tok_scan_of(const char *pattern);

/** Byte that the character c of the byte-level alphabet stands for, -1 if it
 *  is none; source: GPT-2's encoder.py, bytes_to_unicode. */
int hy_tok_byte(uint32_t c);
/** Undo the alphabet: append the bytes of a vocabulary entry, or the entry
 *  itself when some character is not of the alphabet (returns 0 then). */
int hy_tok_unmap(const char *s, size_t n, hy_buf *out);

#endif
