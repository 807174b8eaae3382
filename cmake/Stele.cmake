# What every target shares, and the one way to declare a room.

set(STELE_SANITIZE "" CACHE STRING "sanitizers for every target, comma separated")
option(STELE_FUZZ "build the libFuzzer targets (clang)" OFF)

# Flags of our own code; generated code gets stele_generated instead.
add_library(stele_flags INTERFACE)
target_compile_options(stele_flags INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Werror -Werror=unused-result
  -Wno-missing-field-initializers -fstack-protector-strong -ffunction-sections -fdata-sections)
target_compile_definitions(stele_flags INTERFACE _GNU_SOURCE _FORTIFY_SOURCE=2)
target_include_directories(stele_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
# Relative relocations packed: a tenth of their room, for programs that are position independent and mostly tables.
add_link_options(-Wl,--gc-sections -Wl,-z,relro,-z,now -Wl,-z,pack-relative-relocs)
if(STELE_SANITIZE)
  add_compile_options(-fsanitize=${STELE_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${STELE_SANITIZE})
  target_compile_options(stele_flags INTERFACE -U_FORTIFY_SOURCE)
endif()
if(STELE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# Abseil's archives as one group: Debian's CMake targets name its shared libraries.
add_library(stele_absl INTERFACE)
file(GLOB absl_archives /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/libabsl_*.a)
if(NOT absl_archives)
  message(FATAL_ERROR "no libabsl_*.a: install libabsl-dev, or run ./dev build, which does")
endif()
# LINK_GROUP and not --start-group: CMake drops the second of two equal flags, and gRPC has a group too.
string(REPLACE ";" "," absl_group "${absl_archives}")
target_link_libraries(stele_absl INTERFACE "$<LINK_GROUP:RESCAN,${absl_group}>" Threads::Threads)

# Links an executable against nothing shared. Sanitizers have no static run-time: there it stays dynamic.
function(stele_static TARGET)
  if(NOT STELE_SANITIZE)
    target_link_options(${TARGET} PRIVATE -static)
  endif()
endfunction()

# A daemon of the root: shared with others are libc and OpenSSL, which the root has once (udev's libkmod and dhcpcd need it too);
# all else is in the file. First on the line, so that archives find OpenSSL here and not in libssl.a.
function(stele_daemon TARGET)
  target_link_options(${TARGET} PRIVATE -static-libstdc++ -static-libgcc LINKER:--push-state,--no-as-needed -lssl -lcrypto
    LINKER:--pop-state)
endfunction()

find_package(GTest REQUIRED)
find_package(Threads REQUIRED)

# stele_room(NAME [LINKS lib...] [TEST_LINKS lib...])
# A room is a folder, with folders in it once it has grown: *.cc make the library `room_NAME`,
# *_test.cc the test program `NAME_test`; main.cc belongs to whoever makes the executable.
function(stele_room NAME)
  cmake_parse_arguments(ROOM "" "" "LINKS;TEST_LINKS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cc */*.cc)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "(_test|/main)\\.cc$")
  if(sources)
    add_library(room_${NAME} STATIC ${sources})
    target_link_libraries(room_${NAME} PUBLIC stele_flags ${ROOM_LINKS})
  else()
    add_library(room_${NAME} INTERFACE)
    target_link_libraries(room_${NAME} INTERFACE stele_flags ${ROOM_LINKS})
  endif()
  if(tests)
    add_executable(${NAME}_test ${tests})
    target_link_libraries(${NAME}_test PRIVATE room_${NAME} ${ROOM_TEST_LINKS} GTest::gmock GTest::gtest_main)
    add_test(NAME ${NAME} COMMAND ${NAME}_test WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${NAME} PROPERTIES LABELS unit TIMEOUT 300)
  endif()
endfunction()
