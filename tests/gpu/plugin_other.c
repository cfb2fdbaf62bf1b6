/* A library that is no plugin, for test_plugin.c. */
int pb_test_something;
int pb_test_something = 1;
