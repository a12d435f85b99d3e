/* word.h: the nearest word to a mistyped one. */
#ifndef HYMN_BASE_WORD_H
#define HYMN_BASE_WORD_H

/** Cost of turning a into b: leaving a letter out 1, adding or changing one 2,
 *  swapping neighbours 1. Leaving out is cheap because people guess long words
 *  for short keys (learning_rate for lr). Of long words the first 64 letters
 *  count. */
int hy_word_distance(const char *a, const char *b);

#endif
