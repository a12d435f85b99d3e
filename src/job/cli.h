/* cli.h: the command line, from argv to the exit code. */
#ifndef HYMN_JOB_CLI_H
#define HYMN_JOB_CLI_H

/** Do what the command line says and report an error, once, on stderr.
 *  Help-like commands answer without MPI; a deck starts and ends MPI.
 *  \return the exit code, the same on every rank */
int hy_cli(int argc, char **argv);

#endif
