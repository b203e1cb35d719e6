/// `cluster.example.yaml`, written from the table: every key with its meaning, unit, range and default.
///
/// A test compares the file in the repository with this text.
package enum ExampleFile {
  package static var text: String {
    var lines = [
      "# Every setting of a dfs cluster with its default. Copy what you change; leave out the rest.",
      "#",
      "# A flag wins over an environment variable, that over this file, that over the default. The variable of",
      "# `coordinator.chunk_size` is DFS_COORDINATOR_CHUNK_SIZE, and so on. Also read: DFS_CONFIG (this file's path),",
      "# LOG_LEVEL, COORDINATOR_HOST, COORDINATOR_PORT, DATANODE_HOST and DATANODE_PORT.",
      "# Sizes: 64KiB, 8MiB, 1GiB (binary). Times: 500ms, 10s, 5m, 24h, 7d.",
      "# Check a file with `dfsd check-config FILE`.",
      "",
      "# --- Must agree on all nodes ---",
      "",
    ]
    for key in SettingTable.keys where key.section == nil { lines += entry(key, indent: "") }
    for section in SettingTable.sections {
      if section.name == "coordinator" { lines += ["", "# --- Per role ---"] }
      lines += ["", "# \(section.summary).", "\(section.name):"]
      for key in SettingTable.keys where key.section == section.name { lines += entry(key, indent: "  ") }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func entry(_ key: SettingKey, indent: String) -> [String] {
    let word = key.components.last ?? key.name
    let head = [
      "\(indent)# \(key.summary).",
      "\(indent)# \(key.range); default: \(key.standard.isEmpty ? "none" : key.standard)",
    ]
    if case .endpoints = key.kind {
      return head + ["\(indent)\(word):"] + key.standard.split(separator: ",").map { "\(indent)  - \($0)" }
    }
    return head + ["\(indent)\(word): \(key.standard.isEmpty ? "\"\"" : key.standard)"]
  }
}
