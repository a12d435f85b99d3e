/* undef.h: take the macros of deck.def away. No include guard. */
#undef HY_GROUP
#undef HY_INT
#undef HY_REAL
#undef HY_BOOL
#undef HY_STR
#undef HY_PATH
#undef HY_PATH_NAMED
#undef HY_ENUM
#undef HY_REALS
#undef HY_INTS
#undef HY_PATHS
#undef HY_MIX
#undef HY_END
