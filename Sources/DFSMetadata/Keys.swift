package import DFSCore

// The key schema: every key of the namespace, once. Integers are big-endian and of fixed width, so that byte
// order is numeric order; a name is the last part of its key, so it needs no terminator. One key a line,
// within 110 columns: leave the table as it is.
//
//   Key                            Value            What
//   m/cluster                      ClusterRecord    cluster id, format, features, incarnation, held
//   m/round                        RoundMark        (term, round): what the ledger's fence compares
//   m/state                        StateRecord      revision, cluster time, next id, request hours, digest
//   i/<inode 8>                    InodeRecord      a directory, or one version of a file
//   e/<parent 8><name 1...255>     EntryRecord      inode, kind, revision
//   c/<inode 8><segment 4>         SegmentRecord    up to 512 chunk references, in the file's order
//   g/<group 4>                    GroupRecord      epoch, policy, slots
//   n/<node 8>                     NodeRecord       address, zone, capacity, administrative state
//   u/<upload 8>                   UploadRecord     an open upload
//   u/<upload 8><page 4>           AllocationPage   the groups of 512 indices, which of them are used;
//                                                   who holds the segment of the same number
//   t/<expiry 8><serial 8>         TrashRecord      what lost its name and can get one again
//   x/<not before 8><inode 8>      CondemnedRecord  a version, upload or tree to reap; the reaper's cursor;
//                                                   or orphans, under the inode of the first
//   o/<hour 4><seen 8>
//     <high 8><low 8>              OutcomeRecord    the result of a mutation, for its replay
//   k/<group 4><inode 8><index 4>  (empty)          derived, local store only, never in the ledger
//   y/<inode 8>
//     <not before 8><inode 8>      (empty)          derived, too: a record of x/ that deals with its chunks
//
// `m/`, `k/` and `y/` are outside the digest; `o/` has a digest for each hour, so that an hour goes by one
// range delete.

/// Builds each key of the schema above, and takes apart those that a scan meets.
package enum Keys {
  package static let cluster = Array("m/cluster".utf8)
  package static let round = Array("m/round".utf8)
  package static let state = Array("m/state".utf8)

  package static func inode(_ id: InodeID) -> [UInt8] { key("i", id.rawValue) }
  package static func entry(_ parent: InodeID, _ name: FileName) -> [UInt8] {
    var bytes = key("e", parent.rawValue, reserving: name.bytes.count)
    bytes.append(contentsOf: name.bytes)
    return bytes
  }
  package static func segment(_ inode: InodeID, _ number: UInt32) -> [UInt8] {
    key("c", inode.rawValue, number)
  }
  package static func group(_ id: GroupID) -> [UInt8] {
    var bytes = tag("g", reserving: 4)
    append(id.rawValue, to: &bytes)
    return bytes
  }
  package static func node(_ id: NodeID) -> [UInt8] { key("n", id.rawValue) }
  package static func upload(_ id: UploadID) -> [UInt8] { key("u", id.rawValue) }
  package static func allocation(_ upload: UploadID, _ page: UInt32) -> [UInt8] {
    key("u", upload.rawValue, page)
  }
  package static func condemned(_ notBefore: ClusterTime, _ inode: InodeID) -> [UInt8] {
    var bytes = key("x", notBefore.sortable, reserving: 8)
    append(inode.rawValue, to: &bytes)
    return bytes
  }
  package static func trash(_ deletion: DeletionID) -> [UInt8] {
    var bytes = key("t", deletion.expiry, reserving: 8)
    append(deletion.serial, to: &bytes)
    return bytes
  }
  package static func outcome(_ hour: UInt32, _ request: RequestID) -> [UInt8] {
    var bytes = tag("o", reserving: 28)
    append(hour, to: &bytes)
    append(request.seen.rawValue, to: &bytes)
    append(request.high, to: &bytes)
    append(request.low, to: &bytes)
    return bytes
  }
  package static func chunk(_ group: GroupID, _ chunk: ChunkID) -> [UInt8] {
    var bytes = tag("k", reserving: 16)
    append(group.rawValue, to: &bytes)
    append(chunk.inode.rawValue, to: &bytes)
    append(chunk.index, to: &bytes)
    return bytes
  }

  package static func condemnation(
    of inode: InodeID, at notBefore: ClusterTime, _ record: InodeID
  ) -> [UInt8] {
    var bytes = key("y", inode.rawValue, reserving: 16)
    append(notBefore.sortable, to: &bytes)
    append(record.rawValue, to: &bytes)
    return bytes
  }

  // Prefixes that are scanned.
  package static func segments(of inode: InodeID) -> [UInt8] { key("c", inode.rawValue) }
  package static func condemnations(of inode: InodeID) -> [UInt8] { key("y", inode.rawValue) }
  package static func entries(of directory: InodeID) -> [UInt8] { key("e", directory.rawValue) }
  package static func outcomes(of hour: UInt32) -> [UInt8] {
    var bytes = tag("o", reserving: 4)
    append(hour, to: &bytes)
    return bytes
  }
  package static func chunks(of group: GroupID) -> [UInt8] {
    var bytes = tag("k", reserving: 4)
    append(group.rawValue, to: &bytes)
    return bytes
  }
  package static let allGroups = Array("g/".utf8)
  package static let allNodes = Array("n/".utf8)
  package static let allUploads = Array("u/".utf8)
  package static let allTrash = Array("t/".utf8)
  package static let allCondemned = Array("x/".utf8)

  private static func tag(_ letter: Unicode.Scalar, reserving count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(2 + count)
    bytes.append(UInt8(ascii: letter))
    bytes.append(UInt8(ascii: "/"))
    return bytes
  }

  private static func key(_ letter: Unicode.Scalar, _ number: UInt64, reserving count: Int = 0) -> [UInt8] {
    var bytes = tag(letter, reserving: 8 + count)
    append(number, to: &bytes)
    return bytes
  }

  private static func key(_ letter: Unicode.Scalar, _ number: UInt64, _ part: UInt32) -> [UInt8] {
    var bytes = key(letter, number, reserving: 4)
    append(part, to: &bytes)
    return bytes
  }

  private static func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
    withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
  }
}

extension Keys {
  /// Whether a key with this first letter is derived from others: it lives in the local store only, outside
  /// the ledger and the digest.
  package static func isDerived(_ letter: UInt8) -> Bool {
    letter == UInt8(ascii: "k") || letter == UInt8(ascii: "y")
  }

  /// The number of `Width` bytes at `offset` of a key that the schema says has one there.
  static func number<Number: FixedWidthInteger>(
    _ key: UnsafeRawBufferPointer, at offset: Int, as _: Number.Type = Number.self
  ) throws -> Number {
    guard key.count >= offset + MemoryLayout<Number>.size else {
      throw DFSError(
        .corrupt, "a key of the metadata store is \(key.count) bytes long: too short for its kind")
    }
    return Number(bigEndian: key.loadUnaligned(fromByteOffset: offset, as: Number.self))
  }

  /// The deletion that a key of the trash names.
  static func deletion(ofTrash key: UnsafeRawBufferPointer) throws -> DeletionID {
    DeletionID(expiry: try number(key, at: 2), serial: try number(key, at: 10))
  }

  /// The name at the end of an entry's key.
  static func name(ofEntry key: UnsafeRawBufferPointer) throws -> FileName {
    guard key.count > 10 else { throw DFSError(.corrupt, "an entry's key in the metadata store has no name") }
    do { return try FileName(bytes: Array(key[10...])) } catch {
      throw DFSError(.corrupt, "an entry's key in the metadata store holds no valid name", cause: error)
    }
  }
}
