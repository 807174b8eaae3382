#include "machined/machined.h"

int main(int argc, char** argv) { return stele::machined::MachinedMain(argc, argv); }
