import DFSCore

/// `u/<upload>/<page>`: the groups of 512 consecutive indices, and, for the segment of the same number, who
/// holds it.
///
/// Outlives its upload until the reaper has deleted what was not used.
struct AllocationPage: StoredRecord, Hashable {
  /// The group of index `page * 512 + position`; fewer than 512 in the last page only.
  private(set) var groups: [GroupID]
  /// Whether a sealed reference names the index.
  private(set) var isUsed: [Bool]
  /// For each group of the sealed segment, the members that have a receipt for *every* chunk of it there.
  var holders: [GroupHolders] = []

  struct GroupHolders: Hashable {
    var group: GroupID
    var nodes: [NodeID]
  }

  static let what: StaticString = "allocation page"

  init(groups: [GroupID]) {
    self.groups = groups
    isUsed = Array(repeating: false, count: groups.count)
  }

  mutating func append(_ more: some Collection<GroupID>) {
    groups.append(contentsOf: more)
    isUsed.append(contentsOf: repeatElement(false, count: more.count))
  }

  mutating func use(_ position: Int) { isUsed[position] = true }

  func writeFields(to writer: inout RecordWriter) {
    writer.groups(groups)
    for start in stride(from: 0, to: isUsed.count, by: 8) {
      var bits: UInt8 = 0
      for (bit, used) in isUsed[start..<min(start + 8, isUsed.count)].enumerated() where used {
        bits |= 1 << bit
      }
      writer.byte(bits)
    }
    writer.number(UInt(holders.count))
    for entry in holders {
      writer.group(entry.group)
      writer.number(UInt(entry.nodes.count))
      for node in entry.nodes { writer.node(node) }
    }
  }

  init(fieldsFrom reader: inout RecordReader) throws {
    groups = try reader.groups(upTo: Limits.segmentChunks)
    isUsed = []
    for start in stride(from: 0, to: groups.count, by: 8) {
      let bits = try reader.byte()
      let count = min(8, groups.count - start)
      guard count == 8 || bits >> count == 0 else { throw reader.corrupt("bits follow the last index") }
      for bit in 0..<count { isUsed.append(bits & 1 << bit != 0) }
    }
    for _ in 0..<(try reader.count(upTo: Limits.segmentChunks)) {
      let group = try reader.group()
      let count = try reader.count(upTo: Int(Limits.mostReplicas))
      holders.append(GroupHolders(group: group, nodes: try (0..<count).map { _ in try reader.node() }))
    }
  }
}
