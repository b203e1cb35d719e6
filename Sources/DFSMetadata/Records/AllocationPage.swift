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
  /// For each group of the sealed segment, who holds its chunks there.
  var holders: [GroupHolders] = []

  static let what: StaticString = "allocation page"
  /// Version 1 kept for each group the members that had *every* chunk of it, version 3 adds at which epoch.
  static let version: UInt8 = 3
  static let oldestVersion: UInt8 = 1

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
    for entry in holders { entry.writeFields(to: &writer) }
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
      holders.append(try GroupHolders(fieldsFrom: &reader))
    }
  }
}
