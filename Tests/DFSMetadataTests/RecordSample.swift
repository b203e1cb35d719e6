import DFSCore
import TestSupport

@testable import DFSMetadata

/// A random value of one kind of record, without its type.
struct RecordSample {
  let bytes: [UInt8]
  let decode: ([UInt8]) throws -> Void
  let checkRoundTrip: () throws -> Void

  struct Differs: Error {}

  init<Record: StoredRecord & Equatable>(_ record: Record) {
    bytes = record.encoded
    decode = { _ = try Record(stored: $0) }
    checkRoundTrip = { if try Record(stored: record.encoded) != record { throw Differs() } }
  }

  static func all(using random: inout SeededGenerator) -> [RecordSample] {
    var make = RecordMaker(random: random)
    defer { random = make.random }
    return [
      RecordSample(InodeRecord.directory(make.directory())), RecordSample(InodeRecord.file(make.file())),
      RecordSample(make.entry()), RecordSample(SegmentRecord(chunks: make.references(20))),
      RecordSample(make.upload()), RecordSample(make.page()), RecordSample(make.condemned()),
      RecordSample(make.outcome()), RecordSample(GroupRecord(make.group())),
      RecordSample(NodeRecord(make.node())),
      RecordSample(make.cluster()), RecordSample(make.state()), RecordSample(make.trash()),
      RecordSample(RoundMark(term: make.random.next(), round: make.random.next())),
    ]
  }
}

/// Makes random, valid records.
struct RecordMaker {
  var random: SeededGenerator

  mutating func number<Number: FixedWidthInteger>(_ range: ClosedRange<Number>) -> Number {
    Number.random(in: range, using: &random)
  }
  mutating func inode() -> InodeID { InodeID(rawValue: random.next()) }
  mutating func revision() -> Revision { Revision(rawValue: random.next()) }
  mutating func flag() -> Bool { Bool.random(using: &random) }
  mutating func root() -> Digest { Digest(random.bytes(32)) ?? digest(0) }
  mutating func length() -> ByteCount { ByteCount(rawValue: number(0...Int64.max)) }

  mutating func name() -> FileName {
    let text = (0..<number(1...60)).map { _ in ["a", "é", "-", "7"][number(0...3)] }.joined()
    guard let name = try? FileName(text) else { preconditionFailure("a valid name") }
    return name
  }

  mutating func attributes() -> FileAttributes {
    var value = FileAttributes(
      mode: number(0...0o7777), modified: FileTime(rawValue: number(Int64.min...Int64.max)))
    if flag() { value.owner = "someone" }
    for index in 0..<number(0...3) { value.user["key\(index)"] = random.bytes(number(0...20)) }
    return value
  }

  mutating func policy() -> PlacementPolicy { PlacementPolicy(replicas: number(1...5)) }
  mutating func chunkSize() -> ChunkSize { ChunkSize(bytes: 65536 << number(0...10)) ?? .standard }

  mutating func references(_ most: Int) -> [ChunkReference] {
    (0..<number(0...most)).map { _ in
      ChunkReference(
        index: number(0...UInt32.max), group: GroupID(rawValue: number(0...UInt32.max)),
        length: number(0...UInt32.max),
        root: root())
    }
  }

  mutating func directory() -> DirectoryRecord {
    DirectoryRecord(
      place: flag() ? DirectoryRecord.Place(parent: inode(), name: name()) : nil, attributes: attributes(),
      created: FileTime(rawValue: number(Int64.min...Int64.max)), policy: policy(), revision: revision())
  }

  mutating func file() -> FileRecord {
    let contents: FileRecord.Contents =
      switch number(0...2) {
      case 0: .inline(random.bytes(number(0...300)))
      case 1: .chunks(references(Limits.inodeChunks))
      default: .segments(number(0...UInt32.max))
      }
    return FileRecord(
      attributes: attributes(), created: FileTime(rawValue: number(Int64.min...Int64.max)), policy: policy(),
      size: length(), chunkSize: chunkSize(), chunkCount: random.next(), root: root(), contents: contents,
      revision: revision())
  }

  mutating func entry() -> EntryRecord {
    EntryRecord(inode: inode(), kind: flag() ? .file : .directory, revision: revision())
  }

  mutating func upload() -> UploadRecord {
    let precondition: WritePrecondition = [.none, .ifAbsent, .ifRevision(revision())][number(0...2)]
    var record = UploadRecord(
      parent: inode(), name: name(), precondition: precondition, attributes: attributes(),
      chunkSize: chunkSize(),
      policy: policy(), allocated: number(0...UInt32.max))
    record.sealedSegments = number(0...UInt32.max)
    record.sealedChunks = random.next()
    record.sealedBytes = length()
    record.isClosed = flag()
    record.firstSeal = revision()
    record.fewestReplicas = number(0...255)
    record.fewestZones = number(0...255)
    return record
  }

  mutating func page() -> AllocationPage {
    var page = AllocationPage(
      groups: (0..<number(0...40)).map { _ in GroupID(rawValue: number(0...UInt32.max)) })
    for position in page.groups.indices where flag() { page.use(position) }
    page.holders = (0..<number(0...3)).map { _ in
      let nodes = (0..<number(1...5)).map { _ in NodeID(rawValue: random.next()) }
      let sets = (0..<number(1...6)).map { _ in Set(nodes.filter { _ in flag() } + nodes.prefix(1)) }
      return GroupHolders(
        group: GroupID(rawValue: number(0...UInt32.max)), epoch: GroupEpoch(rawValue: random.next()),
        sets: Set(sets))
    }
    return page
  }

  mutating func condemned() -> CondemnedRecord {
    let kinds: [ReapPage.Kind] = [.version, .upload, .leftovers, .tree]
    var record = CondemnedRecord(
      kind: kinds[number(0...3)], pages: number(0...UInt32.max), revision: revision())
    record.cursor = number(0...UInt32.max)
    if flag() { record.name = name() }
    guard flag() else { return record }
    return CondemnedRecord(
      CondemnedRecord.Orphans(
        group: GroupID(rawValue: number(0...UInt32.max)),
        chunks: (0..<number(0...20)).map { _ in ChunkID(inode: inode(), index: number(0...UInt32.max)) },
        holders: (0..<number(0...5)).map { _ in NodeID(rawValue: random.next()) }),
      revision: revision())
  }

  mutating func trash() -> TrashRecord {
    let kinds: [TrashRecord.Kind] = [.file, .emptyDirectory, .tree]
    return TrashRecord(
      kind: kinds[number(0...2)], inode: inode(), cause: flag() ? .removed : .replaced,
      place: DirectoryRecord.Place(parent: inode(), name: name()),
      directory: RemotePath(components: (0..<number(0...90)).map { _ in name() }),
      deleted: ClusterTime(rawValue: number(0...Int64.max)), length: length(), revision: revision())
  }

  mutating func outcome() -> OutcomeRecord {
    OutcomeRecord(
      kind: OperationKind.allCases[number(0...(OperationKind.allCases.count - 1))],
      arguments: StateDigest(high: random.next(), low: random.next()), revision: revision(),
      outcome: random.bytes(number(0...50)))
  }

  mutating func slots(_ count: Int) -> [GroupSlot] {
    (0..<count).map { _ in
      let states: [SlotState] = [.full, .filling, .behind]
      return flag() ? .vacant : GroupSlot(node: NodeID(rawValue: random.next()), state: states[number(0...2)])
    }
  }

  mutating func group() -> PlacementGroup {
    let policy = policy()
    var group = PlacementGroup(
      id: GroupID(rawValue: 0), epoch: GroupEpoch(rawValue: random.next()), policy: policy,
      slots: slots(Int(policy.replicas)), missedAt: revision())
    for member in group.members where flag() {
      group.countsFrom[member] = GroupEpoch(rawValue: number(1...UInt64.max))
    }
    for _ in 0..<number(0...3) { group.doubted.insert(NodeID(rawValue: random.next())) }
    return group
  }

  mutating func node() -> ClusterNode {
    let states: [NodeState] = [.active, .draining, .maintenance, .out, .removed]
    return ClusterNode(
      id: NodeID(rawValue: random.next()), store: StoreID(rawValue: random.next()),
      boot: BootID(rawValue: random.next()),
      endpoints: (0..<number(0...3)).map { _ in Endpoint(host: "10.0.0.1", port: number(1...65535)) },
      zone: flag() ? "" : "zone", capacity: length(), state: states[number(0...4)],
      receiptKey: random.bytes(number(0...64)), isSuspect: flag())
  }

  mutating func cluster() -> ClusterRecord {
    var record = ClusterRecord(cluster: ClusterID(rawValue: random.next()))
    record.features = (0..<number(0...3)).map { "feature-\($0)" }
    record.incarnation = number(0...UInt16.max)
    record.isHeld = flag()
    return record
  }

  mutating func state() -> StateRecord {
    var record = StateRecord(time: ClusterTime(rawValue: number(0...Int64.max)))
    record.revision = revision()
    record.nextSerial = random.next()
    record.placement = revision()
    record.hours = (0..<number(1...5)).map { _ in
      StateRecord.RequestHour(
        hour: number(0...UInt32.max), start: revision(),
        digest: StateDigest(high: random.next(), low: random.next()))
    }
    record.counts.files = random.next()
    record.counts.bytes = length()
    record.counts.trash = random.next()
    record.digest = StateDigest(high: random.next(), low: random.next())
    return record
  }
}
