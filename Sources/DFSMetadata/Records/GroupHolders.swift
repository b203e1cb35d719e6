import DFSCore

/// Who holds the chunks of one group in one sealed segment: the nodes once, and the different sets of them that
/// chunks have receipts of.
///
/// Exact for what it is asked, the copies of the chunk that has fewest once members have changed: chunks with
/// the same holders fare alike, and one whose holders include another's never fares worse, so only the smallest
/// sets are kept. With R members these are at most R over R/2: three for R = 3, ten for R = 5.
struct GroupHolders: Hashable {
  let group: GroupID
  /// The group's in the round of the seal; zero, before all others, in pages of an earlier format.
  let epoch: GroupEpoch
  /// Every node that holds something, in order of id; at most `Limits.mostReplicas`.
  private(set) var nodes: [NodeID]
  /// Bit n stands for `nodes[n]`. None includes another.
  private(set) var sets: [UInt8]

  static let mostSets = 32

  init(group: GroupID, epoch: GroupEpoch, sets chunks: Set<Set<NodeID>>) {
    self.group = group
    self.epoch = epoch
    let nodes = chunks.reduce(into: Set<NodeID>()) { $0.formUnion($1) }.sorted()
    precondition(nodes.count <= Int(Limits.mostReplicas), "only members of one row hold a group's chunks")
    let masks = chunks.map { holders in
      nodes.indices.reduce(into: UInt8(0)) { if holders.contains(nodes[$1]) { $0 |= 1 << UInt8($1) } }
    }
    self.nodes = nodes
    sets = masks.filter { mask in !masks.contains { $0 != mask && $0 & mask == $0 } }.sorted()
  }

  /// Copies of the chunk that has fewest, when only nodes that `counts` count; and `also`, nodes that have every
  /// chunk without a receipt.
  func fewestCopies(also: Set<NodeID> = [], counting counts: (NodeID) throws -> Bool) rethrows -> Int {
    let others = try also.count { try counts($0) }
    var counted: UInt8 = 0
    for (place, node) in nodes.enumerated() where !also.contains(node) {
      if try counts(node) { counted |= 1 << UInt8(place) }
    }
    return others + (sets.map { ($0 & counted).nonzeroBitCount }.min() ?? 0)
  }

  func writeFields(to writer: inout RecordWriter) {
    writer.group(group)
    writer.number(UInt(nodes.count))
    for node in nodes { writer.node(node) }
    writer.number(UInt(sets.count))
    for set in sets { writer.byte(set) }
    writer.number(epoch.rawValue)
  }

  init(fieldsFrom reader: inout RecordReader) throws {
    group = try reader.group()
    let count = try reader.count(upTo: Int(Limits.mostReplicas))
    nodes = try (0..<count).map { _ in try reader.node() }
    guard reader.recordVersion >= 2 else {
      sets = [UInt8(1 << count) - 1]
      epoch = .zero
      return
    }
    sets = try (0..<(try reader.count(upTo: Self.mostSets))).map { _ in try reader.byte() }
    guard sets.allSatisfy({ $0 >> UInt8(count) == 0 }) else {
      throw reader.corrupt("a set of holders names a node that is not there")
    }
    epoch = reader.recordVersion >= 3 ? GroupEpoch(rawValue: try reader.number()) : .zero
  }
}
