// Manual pages and the page for the web, from the commands' data: `osctl gen man`, `osctl gen reference --html`.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "osctl/command.h"

namespace stele::osctl {

struct ManPage {
  std::string name;  // of the file: "osctl-config-apply.1"
  std::string text;  // man(7)
};

// One for osctl, and one for each command below it.
std::vector<ManPage> ManPages(const Command& root);

// One page of HTML that needs no other file.
std::string WebPage(const Command& root);

}  // namespace stele::osctl
