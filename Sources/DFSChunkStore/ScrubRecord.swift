import DFSCore

/// How far the scrub of a data directory is: a restart goes on there.
package struct ScrubRecord: Hashable, Sendable {
  /// Times in milliseconds since 1970, as the machine's clock says.
  package var beganAt: Int64 = 0
  /// When the last complete pass ended; `nil` before the first.
  package var endedAt: Int64?
  /// The last chunk of the present pass that was verified; `nil` at its beginning.
  package var cursor: ChunkPlace?
  /// Chunks of the present pass that were verified, and those of them that were bad.
  package var done: UInt64 = 0
  package var bad: UInt64 = 0
  /// A person wants this pass as fast as the disk allows.
  package var isHurried = false

  package init() {}
}

extension DataDirectory {
  private static let scrubRecord = SealedRecord(tag: "dfsscrub", version: 1)
  private static let scrubName = "scrub"

  /// The record of the scrub, or a fresh one: a damaged record costs a part of a pass, not the start.
  package func scrubRecord() throws -> ScrubRecord {
    do {
      guard let bytes = try fileSystem.contents(of: "\(path)/\(Self.scrubName)", limit: 4 << 10) else {
        return ScrubRecord()
      }
      return try Self.decode(bytes, name: "\(path)/\(Self.scrubName)")
    } catch let error as DFSError where error.code == .corrupt || error.code == .failedPrecondition {
      return ScrubRecord()
    }
  }

  /// Replaces the record; durable when it returns. One caller at a time.
  package func save(_ record: ScrubRecord) throws {
    var writer = ByteWriter()
    writer.append(record.beganAt)
    writer.append(record.endedAt ?? 0)
    writer.append(UInt8(record.cursor == nil ? 0 : 1))
    writer.append(record.cursor?.group.rawValue ?? 0)
    writer.append(record.cursor?.chunk.inode.rawValue ?? 0)
    writer.append(record.cursor?.chunk.index ?? 0)
    writer.append(record.done)
    writer.append(record.bad)
    writer.append(UInt8(record.isHurried ? 1 : 0))
    try fileSystem.replace(Self.scrubName, in: path, with: Self.scrubRecord.seal(writer.bytes))
  }

  private static func decode(_ bytes: [UInt8], name: String) throws -> ScrubRecord {
    try scrubRecord.open(bytes, name: name) { reader in
      var record = ScrubRecord()
      record.beganAt = try reader.number()
      let ended: Int64 = try reader.number()
      record.endedAt = ended == 0 ? nil : ended
      let hasCursor: UInt8 = try reader.number()
      let group = GroupID(rawValue: try reader.number())
      let inode = InodeID(rawValue: try reader.number())
      let chunk = ChunkID(inode: inode, index: try reader.number())
      record.cursor = hasCursor == 0 ? nil : ChunkPlace(chunk: chunk, group: group)
      record.done = try reader.number()
      record.bad = try reader.number()
      record.isHurried = try reader.number(UInt8.self) != 0
      return record
    }
  }
}
