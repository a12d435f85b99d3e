/* blank.h: give every macro of deck.def that is not yet defined an empty
 * meaning; deck/undef.h takes them all away again. No include guard. */
#ifndef HY_GROUP
#define HY_GROUP(g, help)
#endif
#ifndef HY_INT
#define HY_INT(g, k, def, lo, hi, unit, help)
#endif
#ifndef HY_REAL
#define HY_REAL(g, k, def, lo, hi, unit, help)
#endif
#ifndef HY_BOOL
#define HY_BOOL(g, k, def, help)
#endif
#ifndef HY_STR
#define HY_STR(g, k, def, unit, help)
#endif
#ifndef HY_PATH
#define HY_PATH(g, k, def, help)
#endif
#ifndef HY_PATH_NAMED
#define HY_PATH_NAMED(g, k, name, def, help)
#endif
#ifndef HY_ENUM
#define HY_ENUM(g, k, def, words, help)
#endif
#ifndef HY_INTS
#define HY_INTS(g, k, lo, hi, unit, help)
#endif
#ifndef HY_REALS
#define HY_REALS(g, k, def, lo, hi, unit, help)
#endif
#ifndef HY_PATHS
#define HY_PATHS(g, k, help)
#endif
#ifndef HY_MIX
#define HY_MIX(g, k, help)
#endif
#ifndef HY_END
#define HY_END(g)
#endif
