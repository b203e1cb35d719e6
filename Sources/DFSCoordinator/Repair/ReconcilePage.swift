import DFSCore
import DFSMetadata

/// Decides about a bounded run of a group's chunks: which replicas its unfinished members lack, and from whom
/// they can be had. Pure: inventories and what the metadata says go in, orders come out.
///
/// The inventories were taken before the metadata was looked at. So a chunk that is wanted and that somebody
/// lacks may have come in between: an order for it costs nothing where it is there already. And a chunk that
/// nobody has is not called lost before a second pass has looked for it as well.
struct ReconcilePage: Sendable {
  struct Limits: Sendable {
    /// Copies ordered of one node at a time, and their bytes.
    var copies = 512
    var bytes: UInt64 = 256 << 20
  }

  struct Plan: Sendable {
    /// By the node that is to get them, in order of chunk.
    var orders: [NodeID: [CopyOrder]] = [:]
    /// Chunks that a target lacks and no node that was asked has.
    var unsourced: [ChunkID] = []
    /// Open uploads that sealed some of these.
    var unsourcedUploads: Set<InodeID> = []
    /// Everything up to here is decided; `nil` at the end of the group.
    var end: ChunkID?
    /// Chunks that the metadata names up to there.
    var wanted = 0
  }

  private let inventories: [GroupInventory]
  private let targets: [NodeID]
  /// In order of id, those of this run only.
  private let indexed: [ChunkID]
  private let end: ChunkID?

  /// `indexed` are the next chunks of the group in the metadata's index; `isIndexEnd` says that there are no
  /// more.
  init(inventories: [GroupInventory], targets: [NodeID], indexed: [ChunkID], isIndexEnd: Bool) {
    self.inventories = inventories
    self.targets = targets
    let ends = inventories.compactMap(\.end) + (isIndexEnd ? [] : [indexed.last].compactMap { $0 })
    let end = ends.min()
    self.end = end
    self.indexed = end.map { end in Array(indexed.prefix { $0 <= end }) } ?? indexed
  }

  /// Chunks that the metadata names, in order of id: their references are needed, for what has only the id of
  /// one of them is no copy of it.
  var named: [ChunkID] { indexed }

  /// Those of `named` that at least one target lacks.
  func missing(_ references: [ChunkID: ChunkReference]) -> [ChunkID] {
    indexed.filter { chunk in !lacking(chunk, references[chunk]).isEmpty }
  }

  /// Chunks that somebody has, a target lacks and the metadata's index does not name: alive when their upload
  /// is open. In order of id.
  var unnamed: [ChunkID] {
    let known = Set(indexed)
    var found: Set<ChunkID> = []
    for inventory in inventories {
      for chunk in inventory.replicas.keys where isInRun(chunk) && !known.contains(chunk) {
        found.insert(chunk)
      }
    }
    return found.filter { chunk in !lacking(chunk, nil).isEmpty }.sorted()
  }

  private func isInRun(_ chunk: ChunkID) -> Bool { end.map { chunk <= $0 } ?? true }

  private func lacking(_ chunk: ChunkID, _ reference: ChunkReference?) -> [NodeID] {
    targets.filter { target in
      let inventory = inventories.first { $0.node == target }
      guard let replica = inventory?.replicas[chunk] else { return true }
      return reference.map { GroupInventory.Replica($0) != replica } ?? false
    }
  }

  /// `references` are those of `named`, without what is condemned; `open` the uploads among `missing` and
  /// `unnamed` that are open. `loads` are the bytes that each source is being asked for, so that the work spreads.
  func plan(
    references: [ChunkID: ChunkReference], open: Set<InodeID>, limits: Limits, loads: [NodeID: UInt64]
  ) -> Plan {
    var load = loads
    var plan = Plan(end: end, wanted: indexed.count)
    var bytes: [NodeID: UInt64] = [:]
    var last: ChunkID?
    let wanted = (references.keys + unnamed.filter { open.contains($0.inode) }).sorted()
    for chunk in wanted {
      let takers = lacking(chunk, references[chunk])
      guard !takers.isEmpty else { continue }
      let replica: GroupInventory.Replica?
      if let reference = references[chunk] {
        replica = GroupInventory.Replica(reference)
      } else {
        replica = inventories.sorted { $0.role < $1.role }.lazy.compactMap { $0.replicas[chunk] }.first
      }
      guard let replica else { continue }
      let sources = sources(of: chunk, replica, load: load)
      if sources.isEmpty {
        plan.unsourced.append(chunk)
        if open.contains(chunk.inode) { plan.unsourcedUploads.insert(chunk.inode) }
      } else {
        let isFull = takers.contains { taker in
          let count = plan.orders[taker]?.count ?? 0
          return count >= limits.copies || count > 0 && bytes[taker, default: 0] >= limits.bytes
        }
        if isFull {
          plan.end = last
          plan.wanted = last.map { last in indexed.prefix { $0 <= last }.count } ?? 0
          return plan
        }
        load[sources[0], default: 0] += UInt64(replica.length) * UInt64(takers.count)
        for taker in takers {
          let order = CopyOrder(
            chunk: chunk, length: replica.length, root: replica.root, sources: sources.filter { $0 != taker })
          plan.orders[taker, default: []].append(order)
          bytes[taker, default: 0] += UInt64(replica.length)
        }
      }
      last = chunk
    }
    return plan
  }

  /// Full members first, among equals those that were asked for least.
  private func sources(
    of chunk: ChunkID, _ replica: GroupInventory.Replica, load: [NodeID: UInt64]
  ) -> [NodeID] {
    inventories.filter { $0.replicas[chunk] == replica }.sorted {
      ($0.role.rawValue, load[$0.node] ?? 0, $0.node) < ($1.role.rawValue, load[$1.node] ?? 0, $1.node)
    }.map(\.node)
  }
}
