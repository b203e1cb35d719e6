import DFSCore

/// Every setting there is. The order is the order of `cluster.example.yaml`.
package enum SettingTable {
  /// The part that must agree on all nodes, then one section per role, then what each process chooses.
  package static let keys: [SettingKey] = common + transport + coordinator + datanode + client + log

  /// The sections of the YAML file, each with the sentence that introduces it.
  package static let sections: [(name: String, summary: String)] = [
    ("tls", "Certificates. All nodes of a cluster use TLS, or none does"),
    (
      "transport",
      "Connections. Leave these alone unless a measurement says otherwise; keep them equal on all nodes"
    ),
    ("coordinator", "The coordinator: names, membership, placement"),
    ("datanode", "Every datanode: one process, one disk"),
    ("client", "The command line and the Swift library"),
    ("log", "What a process writes to standard error"),
  ]

  package static func key(named name: String) -> SettingKey? { byName[name] }
  private static let byName = Dictionary(uniqueKeysWithValues: keys.map { ($0.name, $0) })

  private static let common: [SettingKey] = [
    SettingKey(
      "coordinators", .endpoints, "127.0.0.1:7400",
      "Where datanodes and clients find the coordinator; several are tried in turn"),
    SettingKey(
      "insecure", .flag, "false",
      "Allows a server to listen on an address that other machines reach without TLS"),
    SettingKey(
      "tls.certificate", .path, "", "PEM file with this node's certificate chain; empty for plain HTTP/2"),
    SettingKey("tls.key", .path, "", "PEM file with the private key of that certificate"),
    SettingKey("tls.ca", .path, "", "PEM file with the authorities to trust; empty for the system's"),
    SettingKey("tls.mutual", .flag, "false", "Demands a certificate signed by `ca` from every client"),
  ]

  private static let transport: [SettingKey] = [
    SettingKey("transport.loops", .count(0...256), "0", "Event loops; 0 takes one per core"),
    SettingKey(
      "transport.max_message", .bytes(.mib(4)...(.mib(64))), "4 MiB",
      "The largest message of a control call; chunk data is cut into smaller messages anyway"),
    SettingKey(
      "transport.stream_window", .bytes(.kib(64)...(.gib(1))), "4 MiB",
      "How much one stream may send before its reader has taken some"),
    SettingKey(
      "transport.connection_window", .bytes(.kib(64)...(.gib(2) - ByteCount(1))), "64 MiB",
      "The same for all streams of one connection together"),
    SettingKey(
      "transport.frame_size", .bytes(.kib(16)...(.mib(16) - ByteCount(1))), "256 KiB",
      "The largest HTTP/2 frame that is accepted"),
    SettingKey("transport.max_streams", .count(1...100_000), "1000", "Open calls per connection"),
    SettingKey("transport.max_connections", .count(1...1_000_000), "10000", "Open connections per server"),
    SettingKey(
      "transport.max_header_list", .bytes(.kib(1)...(.mib(1))), "32 KiB", "The metadata of one call"),
    SettingKey(
      "transport.keepalive_interval", .duration(.milliseconds(100)...(.seconds(86_400))), "30s",
      "A connection that was silent for so long is asked for a sign of life"),
    SettingKey(
      "transport.keepalive_timeout", .duration(.milliseconds(100)...(.seconds(3600))), "10s",
      "How long that sign may take before the connection counts as dead"),
    SettingKey(
      "transport.idle_timeout", .duration(.zero...(.seconds(604_800))), "10m",
      "A connection without calls is closed after this; 0 keeps it"),
    SettingKey(
      "transport.max_age", .duration(.zero...(.seconds(31_536_000))), "0s",
      "A connection is drained at this age, so that load spreads again; 0 keeps it"),
    SettingKey(
      "transport.connect_timeout", .duration(.milliseconds(10)...(.seconds(300))), "3s",
      "How long one attempt to connect may take"),
    SettingKey(
      "transport.drain_grace", .duration(.zero...(.seconds(86_400))), "30s",
      "How long running calls may take to finish after SIGTERM"),
  ]

  private static let coordinator: [SettingKey] = [
    SettingKey("coordinator.listen", .endpoint(defaultPort: 7400), "127.0.0.1:7400", "Where it serves"),
    SettingKey("coordinator.data", .path, "/var/lib/dfs/coordinator", "The directory of its database"),
    SettingKey(
      "coordinator.chunk_size", .chunkSize, "8 MiB", "The length of the chunks of new files"),
    SettingKey(
      "coordinator.replicas", .count(1...5), "3",
      "Copies of each chunk, where a directory or a put does not ask for another number"),
    SettingKey(
      "coordinator.inline_limit", .bytes(.zero...(.kib(4))), "4 KiB",
      "Files up to this size lie inside the metadata"),
    SettingKey(
      "coordinator.down_after", .duration(.seconds(1)...(.seconds(3600))), "10s",
      "A datanode that was silent for so long is avoided by reads and writes"),
    SettingKey(
      "coordinator.out_after", .duration(.zero...(.seconds(604_800))), "60s",
      "A datanode that was silent for so long loses its place, its copies are made again; 0: when its connection breaks"
    ),
    SettingKey(
      "coordinator.suspect_after", .count(0...1_000_000), "100",
      "Copies found bad on one datanode within ten minutes that make it suspect, until a person activates it; 0 never"
    ),
    SettingKey(
      "coordinator.upload_lease", .duration(.seconds(5)...(.seconds(86_400))), "120s",
      "An upload that its client does not renew is aborted after this"),
    SettingKey(
      "coordinator.pin_lease", .duration(.seconds(5)...(.seconds(86_400))), "60s",
      "A long read keeps its version alive so long between two renewals"),
    SettingKey(
      "coordinator.snapshot_lifetime", .duration(.seconds(1)...(.seconds(86_400))), "5m",
      "A long listing shows one revision for so long, then goes on from the last name"),
    SettingKey(
      "coordinator.snapshot_limit", .count(1...10_000), "64", "How many listings may hold a revision at once"),
    SettingKey(
      "coordinator.trash_retention", .duration(.zero...(.seconds(31_536_000))), "24h",
      "How long what was removed or replaced can be had back with dfsd undelete; 0 for not at all"),
    SettingKey(
      "coordinator.trash_entries", .count(1...1_000_000_000), "10000000",
      "Deletions that the trash keeps; of more, the oldest leave early, so that the metadata stay bounded"),
    SettingKey(
      "coordinator.reap_grace", .duration(.zero...(.seconds(2_592_000))), "120s",
      "Chunks of what was removed, and has left the trash, are deleted from the disks not before this"),
    SettingKey(
      "coordinator.check_period", .duration(.seconds(60)...(.seconds(31_536_000))), "24h",
      "How often what the nodes have is compared with what the metadata knows"),
    SettingKey(
      "coordinator.result_retention", .duration(.seconds(3600)...(.seconds(2_592_000))), "2h",
      "How long the result of a change is remembered for a client that asks again"),
    SettingKey(
      "coordinator.metadata_copies", .count(0...16), "2",
      "Datanodes that keep a copy of the metadata, so that the coordinator's disk may be lost; 0 keeps none"),
    SettingKey(
      "coordinator.queue_limit", .count(16...1_000_000), "4096",
      "Changes that may wait for a round; more are refused until some are done"),
    SettingKey(
      "coordinator.cache", .bytes(.mib(4)...(.gib(64))), "32 MiB", "Memory for the database's blocks"),
    SettingKey("coordinator.disk_threads", .count(1...256), "8", "Threads for calls that wait for the disk"),
  ]

  private static let datanode: [SettingKey] = [
    SettingKey(
      "datanode.listen", .endpoint(defaultPort: 7401), "127.0.0.1:7401",
      "Where it serves; port 0 takes a free one"),
    SettingKey(
      "datanode.advertise", .endpoint(defaultPort: 7401), "",
      "The address that clients and other datanodes use; empty for the one it listens on"),
    SettingKey(
      "datanode.data", .path, "/var/lib/dfs/datanode", "The directory of its chunks: one disk of its own"),
    SettingKey(
      "datanode.zone", .word, "",
      "What fails together: a host, a rack, a room; copies go to different zones; empty for the node alone"),
    SettingKey(
      "datanode.reserve", .bytes(.mib(1)...(.gib(4096))), "1 GiB",
      "Space of the disk that chunks never take, so that deleting still works on a full disk"),
    SettingKey(
      "datanode.small_chunk_limit", .bytes(.zero...(.mib(1))), "256 KiB",
      "Chunks up to this size share the datanode's database instead of having a file each"),
    SettingKey(
      "datanode.receive_budget", .bytes(.mib(4)...(.gib(64))), "64 MiB",
      "Memory for bytes on their way to the disk, of all transfers together; readers have half as much, at most 32 MiB"
    ),
    SettingKey(
      "datanode.max_transfers", .count(1...100_000), "128",
      "Chunks that may be written at once; each may hold a MiB, whatever the budget"),
    SettingKey(
      "datanode.straggler_timeout", .duration(.milliseconds(100)...(.seconds(600))), "2500ms",
      "A member of the group that lags so long is left behind, and repaired later"),
    SettingKey(
      "datanode.heartbeat_interval", .duration(.milliseconds(100)...(.seconds(60))), "1s",
      "How often it tells the coordinator that it lives"),
    SettingKey(
      "datanode.cache", .bytes(.mib(4)...(.gib(64))), "16 MiB", "Memory for the database's blocks"),
    SettingKey(
      "datanode.repair_rate", .bytes(.zero...(.gib(64))), "0 B",
      "What repair and scrub may move in a second; 0 for all that clients leave: they give way to them anyway"
    ),
    SettingKey(
      "datanode.scrub_period", .duration(.seconds(1)...(.seconds(365 * 86_400))), "14d",
      "Every stored chunk is read and compared with its hashes within this time"),
    SettingKey("datanode.disk_threads", .count(1...256), "8", "Threads for calls that wait for the disk"),
  ]

  private static let client: [SettingKey] = [
    SettingKey("client.parallelism", .count(1...256), "4", "Chunks in flight at once"),
    SettingKey(
      "client.memory_budget", .bytes(.mib(4)...(.gib(64))), "32 MiB",
      "Memory for bytes that are on their way, or kept until they are acknowledged"),
    SettingKey(
      "client.timeout", .duration(.milliseconds(100)...(.seconds(86_400))), "30s",
      "How long one step may wait for what is away; a third of that for a write with too few datanodes left"),
    SettingKey(
      "client.stall_timeout", .duration(.milliseconds(100)...(.seconds(600))), "2500ms",
      "A datanode that is silent so long in the middle of a read is given up for another"),
    SettingKey(
      "client.write_stall_timeout", .duration(.milliseconds(100)...(.seconds(600))), "10s",
      "The same for writes, where the datanode itself waits for disks and for its peers"),
    SettingKey(
      "client.hedge_after", .duration(.zero...(.seconds(60))), "100ms",
      "A read that has not begun to answer is also asked of a second datanode; 0 never"),
    SettingKey(
      "client.spool", .path, "",
      "Where standard input waits when the memory budget is full; empty for the system's temporary directory"),
  ]

  private static let log: [SettingKey] = [
    SettingKey(
      "log.level", .choice(["trace", "debug", "info", "notice", "warning", "error", "critical"]), "info",
      "The least important line that is written"),
    SettingKey(
      "log.format", .choice(["auto", "text", "json"]), "auto",
      "`auto` writes text on a terminal and JSON lines elsewhere"),
  ]
}
