#include "gpu/device.h"
#include "base/err.h"
#include "base/file.h"
#include "base/version.h"
#include "config.h"
#include "gpu/gpu_module.h"
#include "gpu/gpu_plan.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef HY_MODULE_DIR
#define HY_MODULE_DIR "/usr/local/lib/hymn"
#endif

/* The module stays loaded: libraries of CUDA do not survive their removal. */
static const hy_gpu_module *module;
static char line[256];

/* In the build tree src/hymn finds cuda/hymn-cuda.so, installed bin/hymn finds
 * lib/hymn/hymn-cuda.so, wherever the tree was moved to. */
static const char *const beside[] = {"../cuda/hymn-cuda.so",
                                     "../lib/hymn/hymn-cuda.so", NULL};

static char *
program_folder(void)
{
  char path[4096];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  char *slash;

  path[n > 0 ? n : 0] = '\0';
  slash = strrchr(path, '/');
  if (slash)
    *slash = '\0';
  return hy_strdup(path);
}

/* To be freed; NULL: there is none. */
static char *
find_module(void)
{
  const char *env = getenv("HYMN_CUDA_MODULE");
  char *folder = program_folder(), *path = NULL;

  if (env && *env)
    path = hy_strdup(env);
  for (int i = 0; !path && beside[i]; i++) {
    path = hy_path_join(folder, beside[i]);
    if (access(path, R_OK) != 0) {
      free(path);
      path = NULL;
    }
  }
  free(folder);
  if (!path && access(HY_MODULE_DIR "/hymn-cuda.so", R_OK) == 0)
    path = hy_strdup(HY_MODULE_DIR "/hymn-cuda.so");
  return path;
}

static int
load(const char *path)
{
  const hy_gpu_module *(*get)(void);
  void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);

  if (!lib)
    return hy_fail(HY_ERES,
                   "job.device='cuda': %s; build hymn with "
                   "--with-cuda on this system, or use job.device='cpu'",
                   dlerror());
  *(void **)&get = dlsym(lib, "hy_gpu_module_get");
  if (!get || strcmp(get()->version, hy_version()))
    return hy_fail(HY_ERES,
                   "job.device='cuda': %s is of hymn %s, this program is %s; "
                   "install both from one build",
                   path, get ? get()->version : "(unknown)", hy_version());
  module = get();
  return HY_OK;
}

static int
load_module(void)
{
  char *path;
  int err;

  if (module)
    return HY_OK;
  path = find_module();
  if (!path)
    return hy_fail(HY_ERES,
                   "job.device='cuda': this hymn has no module hymn-cuda.so "
                   "(looked beside the program and in %s); configure "
                   "--with-cuda, or use job.device='cpu'",
                   HY_MODULE_DIR);
  err = load(path);
  free(path);
  return err;
}

static int
is_cuda(const hy_deck *d)
{
  return !strcmp(d->job.device, "cuda");
}

static hy_fmt
format_of(const hy_deck *d)
{
  return !strcmp(d->job.precision, "bf16") ? HY_BF16 : HY_F32;
}

int
hy_device_check(const hy_deck *d)
{
  if (!is_cuda(d) && format_of(d) != HY_F32)
    return hy_fail(HY_EDECK,
                   "job.precision='%.16s': job.device='cpu' computes in fp32 "
                   "only; use job.device='cuda' or job.precision='fp32'",
                   d->job.precision);
  if (!is_cuda(d) && d->job.graph)
    return hy_fail(HY_EDECK, "job.graph=.true.: graphs are of "
                             "job.device='cuda'; leave it out");
  return HY_OK;
}

int
hy_device_open(hy_grid *grid, const hy_deck *d)
{
  int err = hy_device_check(d);

  line[0] = '\0';
  if (err || !is_cuda(d))
    return hy_agree(&grid->world, err);
  err = hy_agree(&grid->world, load_module());
  if (!err)
    err = hy_agree(&grid->world, module->open(grid, format_of(d)));
  if (!err)
    module->describe(line, sizeof line, grid);
  return err;
}

void
hy_device_close(hy_grid *grid)
{
  if (grid->backend && module)
    module->close(grid);
  grid->backend = NULL;
}

const char *
hy_device_line(const hy_grid *grid)
{
  return grid->backend ? line : "";
}

void
hy_device_plan(hy_grid *grid, const hy_deck *d)
{
  if (is_cuda(d))
    grid->backend = format_of(d) == HY_BF16 ? &hy_backend_plan_cuda_bf16
                                            : &hy_backend_plan_cuda_fp32;
}

void
hy_device_print(FILE *out)
{
  char *path = find_module();

  if (!path)
    fprintf(out, "GPU       no module hymn-cuda.so\n");
  else if (load_module()) {
    fprintf(out, "GPU       %s\n", hy_err_text());
    hy_err_clear();
  } else
    module->print(out);
  free(path);
}
