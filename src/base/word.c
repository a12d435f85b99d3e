#include "base/word.h"

#include <string.h>

static int
min(int a, int b)
{
  return a < b ? a : b;
}

int
hy_word_distance(const char *a, const char *b)
{
  enum { W = 64 };
  int d[W + 1][W + 1];
  int n = (int)strnlen(a, W), m = (int)strnlen(b, W);

  for (int i = 0; i <= n; i++)
    for (int j = 0; j <= m; j++) {
      int x = i && j ? 0 : i + 2 * j;

      if (i && j) {
        x = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 2);
        x = min(x, min(d[i - 1][j] + 1, d[i][j - 1] + 2));
        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
          x = min(x, d[i - 2][j - 2] + 1);
      }
      d[i][j] = x;
    }
  return d[n][m];
}
