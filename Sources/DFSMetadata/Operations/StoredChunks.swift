import DFSCore

/// The chunks that one seal or commit brings, checked against what was allocated and counted against the
/// members of their groups in this round.
struct StoredChunks {
  private(set) var references: [ChunkReference] = []
  private(set) var pages: [UInt32: AllocationPage] = [:]
  private(set) var groups: [GroupID: Group] = [:]
  /// Indices with too few durable copies.
  private(set) var sendAgain: [UInt32] = []
  private(set) var bytes = ByteCount.zero
  private(set) var fewestReplicas = UInt8.max
  private(set) var fewestZones = UInt8.max
  private(set) var isClosed = false

  struct Group {
    var row: PlacementGroup
    /// Members that count, with their zones.
    var zones: [NodeID: String]
    /// Those with a receipt for every chunk so far.
    var holders: Set<NodeID>
    /// The different sets of holders that chunks have.
    var sets: Set<Set<NodeID>> = []
  }

  /// Throws `.invalidArgument` for what no upload of this record can have stored.
  init(
    _ chunks: [StoredChunk], of upload: UploadID, _ record: UploadRecord, in transaction: inout Transaction
  ) throws {
    guard chunks.count <= Limits.segmentChunks else {
      throw DFSError(
        .invalidArgument, "a segment has at most \(Limits.segmentChunks) chunks, not \(chunks.count)")
    }
    for (place, chunk) in chunks.enumerated() {
      let isLast = place == chunks.count - 1
      let isFull = Int(chunk.length) == record.chunkSize.bytes
      guard isFull || (isLast && chunk.length > 0 && chunk.length < record.chunkSize.bytes) else {
        throw Self.refuse(
          upload, chunk,
          "is \(chunk.length) bytes long: only the file's last chunk may be shorter than "
            + "\(record.chunkSize), and none is empty")
      }
      if !isFull { isClosed = true }
      try add(chunk, of: upload, record, in: &transaction)
    }
    if chunks.count < Limits.segmentChunks { isClosed = true }
  }

  private static func refuse(_ upload: UploadID, _ chunk: StoredChunk, _ why: String) -> DFSError {
    let id = ChunkID(inode: upload, index: chunk.index)
    return DFSError(.invalidArgument, "chunk \(id) \(why)", metadata: ["chunk": id.description])
  }

  private mutating func add(
    _ chunk: StoredChunk, of upload: UploadID, _ record: UploadRecord, in transaction: inout Transaction
  ) throws {
    guard chunk.index < record.allocated else {
      throw Self.refuse(upload, chunk, "was not allocated to the upload")
    }
    let number = chunk.index / UInt32(Limits.segmentChunks)
    let position = Int(chunk.index) % Limits.segmentChunks
    if pages[number] == nil {
      guard pages.count < Limits.pagesPerSeal else {
        throw Self.refuse(
          upload, chunk, "is too far from the others: seal chunks about as they were allocated")
      }
      pages[number] = try transaction.allocationPage(upload, number)
    }
    guard let page = pages[number], position < page.groups.count else {
      throw DFSError(.corrupt, "an allocation page of upload \(upload) is too short")
    }
    guard !page.isUsed[position] else { throw Self.refuse(upload, chunk, "is named twice") }
    pages[number]?.use(position)

    let id = page.groups[position]
    if groups[id] == nil {
      guard groups.count < Limits.groupsPerSeal else { return sendAgain.append(chunk.index) }
      groups[id] = try Self.group(id, in: &transaction)
    }
    let reference = ChunkReference(index: chunk.index, group: id, length: chunk.length, root: chunk.root)
    references.append(reference)
    bytes = bytes + ByteCount(chunk.length)
    count(chunk, in: id, quorum: record.policy.writeQuorum)
  }

  private static func group(_ id: GroupID, in transaction: inout Transaction) throws -> Group {
    guard let row = try transaction.groupRow(id) else {
      throw DFSError(.corrupt, "group \(id) has lost its row")
    }
    var zones: [NodeID: String] = [:]
    for member in row.members {
      if let node = try transaction.nodeRow(member), node.state.holdsChunks { zones[member] = node.zone }
    }
    return Group(row: row, zones: zones, holders: Set(zones.keys))
  }

  /// Counts only members that are current and not failed, and lost nothing since they gave the receipt.
  private mutating func count(_ chunk: StoredChunk, in id: GroupID, quorum: Int) {
    guard let group = groups[id] else { return }
    let counted = chunk.holders.filter {
      group.zones[$0.node] != nil && group.row.counts($0.node, at: $0.epoch)
    }
    let holders = Set(counted.map(\.node))
    guard holders.count >= quorum else { return sendAgain.append(chunk.index) }
    groups[id]?.holders.formIntersection(holders)
    groups[id]?.sets.insert(holders)
    fewestReplicas = min(fewestReplicas, UInt8(clamping: holders.count))
    fewestZones = min(fewestZones, UInt8(clamping: Set(holders.compactMap { group.zones[$0] }).count))
  }

  /// Writes what the chunks change beside their references: used indices, and, once for each group, that members
  /// missed one: a full member becomes `behind`; of one that is not full, the row says when.
  func mark(for upload: UploadID, in transaction: inout Transaction) throws {
    for (number, page) in pages.sorted(by: { $0.key < $1.key }) {
      try transaction.put(page, at: Keys.allocation(upload, number))
    }
    for (id, group) in groups.sorted(by: { $0.key < $1.key }) {
      var row = group.row
      row.missed(by: row.members.filter { !group.holders.contains($0) }, at: transaction.revision)
      guard row != group.row else { continue }
      try transaction.put(GroupRecord(row), at: Keys.group(id))
    }
  }

  var groupHolders: [GroupHolders] {
    groups.sorted { $0.key < $1.key }.map { id, group in
      GroupHolders(group: id, epoch: group.row.epoch, sets: group.sets)
    }
  }
}

extension PlacementGroup {
  /// Notes that these members lack a chunk: a full one is `behind` and the epoch rises; one that is not full can
  /// not become so by what was seen of it before `revision`.
  mutating func missed(by nodes: [NodeID], at revision: Revision) {
    var isRaised = false
    for index in slots.indices {
      guard let node = slots[index].node, nodes.contains(node) else { continue }
      if slots[index].state == .full {
        slots[index].state = .behind
        isRaised = true
      }
      missedAt = revision
    }
    if isRaised { epoch = epoch.next }
  }

  /// Notes that a member has no longer what it had: as if it had missed a chunk, and in a new epoch, for nothing
  /// that it took before counts as a copy.
  mutating func lost(by node: NodeID, at revision: Revision) {
    let before = epoch
    missed(by: [node], at: revision)
    if epoch == before { epoch = epoch.next }
    countsFrom[node] = epoch
  }

  /// Notes that a member has bad copies of chunks: what it lists proves nothing until it is full again.
  mutating func foundBad(on node: NodeID, at revision: Revision) {
    lost(by: node, at: revision)
    doubted.insert(node)
    // Members count chunks, so they come first.
    let others = doubted.subtracting(members).sorted()
    doubted.subtract(others.dropFirst(max(0, Limits.doubtedNodes - members.count)))
  }
}
