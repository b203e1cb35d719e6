import DFSClient
import DFSCore
import Foundation

/// What `--json` prints: one object, or for lists one object per line. Keys are snake_case, sizes in bytes,
/// times in RFC 3339 with nanoseconds as a number beside them.
enum JSONOutput {
  static func print(_ value: some Encodable, pretty: Bool = true) throws {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting =
      pretty
      ? [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes] : [.sortedKeys, .withoutEscapingSlashes]
    Terminal.print(String(decoding: try encoder.encode(value), as: UTF8.self))
  }
}

/// A file or directory.
struct AttributesOutput: Encodable {
  var path: String
  var type: String
  var length: Int64
  var mode: String
  var modified: String
  var modifiedNs: Int64
  var created: String
  var revision: UInt64
  var inode: String
  var replicas: Int
  var chunkSize: Int?
  var chunkCount: Int
  var root: String?
  var isInline: Bool
  var owner: String?
  var chunks: [ChunkOutput]?

  init(_ path: String, _ attributes: FileAttributes) {
    self.path = path
    type = attributes.kind.rawValue
    length = attributes.length.rawValue
    mode = octal(attributes.mode)
    modified = HumanText.time(attributes.modified)
    modifiedNs = attributes.modified.rawValue
    created = HumanText.time(attributes.created)
    revision = attributes.revision.rawValue
    inode = attributes.inode.description
    replicas = attributes.replicas
    chunkSize = attributes.chunkSize?.bytes
    chunkCount = attributes.chunkCount
    root = attributes.root?.description
    isInline = attributes.isInline
    owner = attributes.owner.isEmpty ? nil : attributes.owner
  }
}

struct ChunkOutput: Encodable {
  struct Replica: Encodable {
    var node: String
    var address: String?
    var zone: String?
    var state: String
    var reachable: Bool
  }
  var id: String
  var offset: Int64
  var length: Int64
  var group: UInt32
  var root: String
  var replicas: [Replica]

  init(_ chunk: ChunkLocation) {
    id = chunk.id.description
    offset = chunk.offset.rawValue
    length = chunk.length.rawValue
    group = chunk.group.rawValue
    root = chunk.root.description
    replicas = chunk.replicas.map {
      Replica(
        node: $0.node.description, address: $0.address?.description, zone: $0.zone.isEmpty ? nil : $0.zone,
        state: $0.state.rawValue, reachable: $0.isReachable)
    }
  }
}

/// What a put did.
struct StoredOutput: Encodable {
  var path: String
  var source: String
  var length: Int64
  var revision: UInt64
  var root: String?
  var replicas: Int
  var rewrittenChunks: Int
}

/// What a command did to one path.
struct DoneOutput: Encodable {
  var action: String
  var path: String
  var target: String?
  var length: Int64?
}

struct StatusOutput: Encodable {
  var cluster: String
  var version: String
  var epoch: String
  var revision: UInt64
  var uptimeSeconds: Int64
  var nodesUp: Int
  var nodesDown: Int
  var nodesOut: Int
  var capacityBytes: Int64
  var freeBytes: Int64
  var usableBytes: Int64
  var storedBytes: Int64
  var files: UInt64
  var directories: UInt64
  var chunks: UInt64
  var fileBytes: Int64
  var groups: Int
  var groupsDegraded: Int
  var groupsUnreadable: Int
  var groupsUnwritable: Int
  var chunksAtRisk: UInt64
  var badReplicas: UInt64
  var condemned: UInt64
  var openUploads: UInt64
  var replicas: Int
  var chunkSize: Int?
  var singleDisk: Bool
  var warnings: [String]
  var nodes: [NodeOutput]

  init(_ status: ClusterStatus, _ nodes: [NodeStatus]) {
    cluster = status.cluster.description
    version = status.version
    epoch = status.epoch.description
    revision = status.revision.rawValue
    uptimeSeconds = status.uptime.components.seconds
    nodesUp = status.nodesUp
    nodesDown = status.nodesDown
    nodesOut = status.nodesOut
    capacityBytes = status.capacity.rawValue
    freeBytes = status.free.rawValue
    usableBytes = status.usable.rawValue
    storedBytes = status.stored.rawValue
    files = status.files
    directories = status.directories
    chunks = status.chunks
    fileBytes = status.fileBytes.rawValue
    groups = status.groups
    groupsDegraded = status.groupsDegraded
    groupsUnreadable = status.groupsUnreadable
    groupsUnwritable = status.groupsUnwritable
    chunksAtRisk = status.chunksAtRisk
    badReplicas = status.badReplicas
    condemned = status.condemned
    openUploads = status.openUploads
    replicas = status.replicas
    chunkSize = status.chunkSize?.bytes
    singleDisk = status.isSingleDisk
    warnings = status.warnings
    self.nodes = nodes.map { NodeOutput($0) }
  }
}

struct NodeOutput: Encodable {
  var id: String
  var address: String
  var zone: String
  var state: String
  var capacityBytes: Int64
  var freeBytes: Int64
  var storedBytes: Int64
  var chunks: UInt64
  var slots: Int
  var writable: Bool
  var reason: String?
  var lastContactMs: Int64
  var version: String

  init(_ node: NodeStatus) {
    id = node.id.description
    address = node.address
    zone = node.zone
    state = node.state.rawValue
    capacityBytes = node.capacity.rawValue
    freeBytes = node.free.rawValue
    storedBytes = node.stored.rawValue
    chunks = node.chunks
    slots = node.slots
    writable = node.isWritable
    reason = node.reason.isEmpty ? nil : node.reason
    lastContactMs =
      node.lastContact.components.seconds * 1000
      + node.lastContact.components.attoseconds / 1_000_000_000_000_000
    version = node.version
  }
}

private func octal(_ mode: UInt16) -> String {
  let digits = String(mode, radix: 8)
  return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
}
