// What the services of a node need, told as data: their specs, the files they read, the directories
// they must find. Made by pure functions; machined writes it and init carries it out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/service_spec.h"

namespace stele::services {

// Users of the image (image/etc/passwd), besides apid's.
inline constexpr uint32_t kChronyUser = 901;
inline constexpr uint32_t kDhcpcdUser = 902;

// What every service finds in PATH: the image has no other folders with programs.
inline constexpr char kPath[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";

// What a service is told that is not in the config.
struct Facts {
  // The config was loaded, disks were looked at, and /var is there.
  bool data_ready = false;
  // Every configuration broke its boots: the API runs, and no workload.
  bool maintenance = false;
  // The node's name; empty until it is known.
  std::string hostname;
  // Links that ask DHCP.
  std::vector<std::string> dhcp_links;
  // Time servers that DHCP named.
  std::vector<std::string> dhcp_time_servers;
  // 20 for kubelet 1.20; 0 until the binary was asked.
  int kubelet_minor = 0;
  // CA of the cluster, PEM, where the config's kubeconfig names one.
  std::string cluster_ca;
};

struct ServiceFile {
  std::string path;
  std::optional<std::string> content;  // nullopt: the file must not exist
  uint32_t mode = 0644;
  uint32_t uid = 0;
  uint32_t gid = 0;
};

struct ServiceDirectory {
  std::string path;
  uint32_t mode = 0755;
  uint32_t uid = 0;
  uint32_t gid = 0;
  bool only_listed_files = false;  // files in it that no ServiceFile names are removed
};

struct ServiceSet {
  std::vector<ServiceSpec> services;
  std::vector<ServiceDirectory> directories;  // parents first
  std::vector<ServiceFile> files;
};

// Puts a hash of the files into the service's environment. Most services read their files once, at
// their start: so the spec changes when they do, and that is what restarts the service.
void DependOnFiles(const std::vector<ServiceFile>& files, ServiceSpec* spec);

}  // namespace stele::services
