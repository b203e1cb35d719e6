import DFSClient
import DFSCore

/// What every datanode says it has, beside what the manifests of all files name.
struct Inventory: Sendable {
  /// One copy of a chunk.
  struct Copy: Hashable, Sendable, CustomStringConvertible {
    let node: NodeID
    let group: GroupID
    let chunk: ChunkID
    let root: Digest
    var description: String { "chunk \(chunk) of group \(group) on \(node)" }
  }

  private(set) var wanted: Set<Copy> = []
  private(set) var found: Set<Copy> = []

  /// Copies that lack.
  var missing: Set<Copy> { wanted.subtracting(found) }
  /// Copies that no file needs, or not there.
  var orphans: Set<Copy> { found.subtracting(wanted) }

  /// Asks the coordinator for every manifest and every datanode for everything, each byte verified.
  init(of site: ChaosSite) async throws {
    let client = site.observer
    for try await entry in client.entries(of: .root, recursive: true)
    where entry.attributes.kind == .file && !entry.attributes.isInline {
      let path = try RemotePath("/" + entry.path)
      for chunk in try await client.chunks(of: path, count: entry.attributes.chunkCount).chunks {
        for replica in chunk.replicas {
          wanted.insert(Copy(node: replica.node, group: chunk.group, chunk: chunk.id, root: chunk.root))
        }
      }
    }
    for node in try await client.nodes() where node.state == .up {
      for chunk in try await site.probe.chunks(on: node.id, at: node.address) {
        found.insert(Copy(node: node.id, group: chunk.group, chunk: chunk.chunk, root: chunk.root))
      }
    }
  }
}
