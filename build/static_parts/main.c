/* sevpn as one executable: CPython started without a file system, then sevpn.cli.main().
 *
 * Nothing is searched on disk: every module is in the frozen table or in the table of
 * built-in modules (both generated). With SEVPN_IMPORT_ALL the same objects become a test
 * program, never shipped, that imports every frozen module instead.
 */
#include <Python.h>
#include <stdio.h>
#include <unistd.h>

#ifdef SEVPN_IMPORT_ALL
#define NAME "sevpn-import-all"
#else
#define NAME "sevpn"
#endif

extern const struct _frozen sevpn_frozen_modules[];

static void
die(PyStatus status)
{
    fprintf(stderr, NAME ": cannot start: %s\n", status.err_msg ? status.err_msg : "?");
    _exit(70);
}

static PyStatus
start(int argc, char **argv)
{
    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;
    before.configure_locale = 0;
    PyStatus status = Py_PreInitialize(&before);
    if (PyStatus_Exception(status))
        return status;

    PyImport_FrozenModules = sevpn_frozen_modules;
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    config.write_bytecode = 0;
    config.use_frozen_modules = 1;
    config.optimization_level = 2;
    config.code_debug_ranges = 0;
    config.pathconfig_warnings = 0;
    /* As a plain Python has it: SIGPIPE is ignored, SIGINT raises KeyboardInterrupt. */
    config.install_signal_handlers = 1;
    config.parse_argv = 0;
    config.module_search_paths_set = 1;
    wchar_t **places[] = {
        &config.prefix, &config.exec_prefix, &config.base_prefix, &config.base_exec_prefix,
        &config.home, &config.stdlib_dir, &config.platlibdir,
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        status = PyConfig_SetString(&config, places[i], L"/nonexistent");
        if (PyStatus_Exception(status))
            return status;
    }
    wchar_t **names[] = { &config.program_name, &config.executable, &config.base_executable };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        status = PyConfig_SetString(&config, names[i], L"" NAME);
        if (PyStatus_Exception(status))
            return status;
    }
    status = PyConfig_SetBytesArgv(&config, argc, argv);
    if (PyStatus_Exception(status))
        return status;
    status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return status;
}

#ifdef SEVPN_IMPORT_ALL
/* Import everything; print what fails. Returns how many failed. */
static int
run(void)
{
    int failures = 0, count = 0;
    for (const struct _frozen *one = sevpn_frozen_modules; one->name; one++, count++) {
        PyObject *module = PyImport_ImportModule(one->name);
        if (module == NULL) {
            failures++;
            fprintf(stderr, "%s:\n", one->name);
            PyErr_Print();
        }
        Py_XDECREF(module);
    }
    for (const struct _inittab *one = PyImport_Inittab; one->name; one++, count++) {
        PyObject *module = PyImport_ImportModule(one->name);
        if (module == NULL) {
            failures++;
            fprintf(stderr, "%s:\n", one->name);
            PyErr_Print();
        }
        Py_XDECREF(module);
    }
    printf("%d modules, %d failures\n", count, failures);
    return failures != 0;
}
#else
/* What `sys.exit(main())` would do. Returns the exit status. */
static int
run(void)
{
    PyObject *module = PyImport_ImportModule("sevpn.cli");
    PyObject *result = module ? PyObject_CallMethod(module, "main", NULL) : NULL;
    if (result != NULL && PyLong_Check(result))
        return (int)PyLong_AsLong(result);
    if (result == Py_None)
        return 0;
    if (PyErr_ExceptionMatches(PyExc_SystemExit)) {
        PyObject *exit = PyErr_GetRaisedException();
        PyObject *code = PyObject_GetAttrString(exit, "code");
        if (code == NULL || code == Py_None)
            return 0;
        if (PyLong_Check(code))
            return (int)PyLong_AsLong(code);
        PyObject *out = PySys_GetObject("stderr");
        if (out != NULL && out != Py_None)
            PyFile_WriteObject(code, out, Py_PRINT_RAW);
        fputc('\n', stderr);
        return 1;
    }
    PyErr_Print();
    return 70;
}
#endif

static int
flush(const char *name)
{
    PyObject *stream = PySys_GetObject(name);
    if (stream == NULL || stream == Py_None)
        return 0;
    PyObject *done = PyObject_CallMethod(stream, "flush", NULL);
    if (done == NULL) {
        PyErr_Clear();
        return -1;
    }
    Py_DECREF(done);
    return 0;
}

int
main(int argc, char **argv)
{
    PyStatus status = start(argc, argv);
    if (PyStatus_IsExit(status))
        return status.exitcode;
    if (PyStatus_Exception(status))
        die(status);
    int code = run();
    int lost = flush("stdout");
    flush("stderr");
    fflush(NULL);
    /* The kernel takes back everything; tearing the interpreter down would cost more
     * than many runs take. */
    _exit(lost && code == 0 ? 74 : code);
}
