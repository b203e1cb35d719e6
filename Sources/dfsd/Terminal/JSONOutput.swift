import DFSClient
import DFSCore
import Foundation

/// What `--json` prints: one object, or for lists one object per line. Keys are snake_case, sizes in bytes,
/// times in RFC 3339 with nanoseconds beside them, as a string: many programs read numbers as floating point,
/// which has 53 bits.
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
  var modifiedNs: String
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
    modifiedNs = String(attributes.modified.rawValue)
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
  var deletion: String?
}

private func octal(_ mode: UInt16) -> String {
  let digits = String(mode, radix: 8)
  return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
}
