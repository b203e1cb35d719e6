import DFSCore
import DFSMetadata

@testable import DFSCoordinator

/// One file on its way in: begin, a transfer for each chunk, a seal for each full segment and now and then for
/// the last one, the commit. Some take hours, some are given up, some are forgotten.
final class ClientUpload {
  private let client: Client
  private let world: World
  private let path: RemotePath
  private let chunks: Int
  private let isSlow: Bool
  private var upload: UploadID?
  private var slots: [Int: (index: UInt32, group: GroupSight)] = [:]
  private var written: [Int: ReceivedChunk] = [:]
  private var avoided: Set<GroupID> = []
  private var failures = 0
  /// Every position before it is written.
  private var position = 0
  private var sealedSegments = 0
  private var sealedChunks: Int { min(chunks, sealedSegments * Limits.segmentChunks) }
  private var mostFailures: Int { isLong ? 200 : 20 }
  private var isLong: Bool { chunks > Limits.segmentChunks }
  private var isOver = false

  init(of client: Client, _ path: RemotePath) {
    self.client = client
    self.path = path
    world = client.world
    let isLong = world.scenario.workload.long > 0 && world.chance(world.scenario.workload.long)
    chunks =
      isLong
      ? Limits.segmentChunks * (world.chance(200) ? 2 : 1) + 1 + world.below(60)
      : 1 + world.below(world.scenario.workload.mostChunks)
    isSlow = !isLong && world.chance(world.scenario.workload.slow)
  }

  func begin() {
    let (path, chunks, id) = (path, min(chunks, Limits.allocation), client.requestID())
    client.ask {
      try $0.beginUpload(path, chunks: chunks, id: id)
    } then: { [self] result in
      guard case .success(let allocation) = result else { return }
      world.tally.add("uploads begun")
      world.note("client \(client.number) begins \(path) as \(allocation.upload), \(chunks) chunks")
      upload = allocation.upload
      for (position, slot) in allocation.slots.enumerated() { slots[position] = slot }
      renew()
      next()
    }
  }

  private func renew() {
    world.schedule(after: .seconds(40)) { [self] in
      guard !isOver, let upload else { return }
      client.ask(attempts: 3) {
        try $0.renew(upload)
      } then: { [self] result in
        if case .failure(let error) = result, error.code == .notFound { isOver = true }
      }
      renew()
    }
  }

  private func next() {
    guard !isOver, let upload else { return }
    if !isLong || position % 100 == 0, world.chance(world.scenario.workload.abandoned / 4) {
      isOver = true
      world.tally.add("uploads abandoned")
      guard world.chance(500) else { return }
      let id = client.requestID()
      return client.ask {
        try $0.abort(upload, id: id)
      } then: { _ in
      }
    }
    let longest = isLong ? Span.milliseconds(5) : .milliseconds(200)
    let pause = isSlow ? world.around(.minutes(10)) : world.span(.milliseconds(1), longest)
    world.schedule(after: pause) { [self] in
      while position < chunks, written[position] != nil { position += 1 }
      let end = min(chunks, (sealedSegments + 1) * Limits.segmentChunks)
      if position < end {
        write(position)
      } else if end < chunks {
        seal()
      } else {
        finish()
      }
    }
  }

  // MARK: One chunk

  private func write(_ position: Int) {
    guard let upload, !isOver else { return }
    guard let slot = slots.removeValue(forKey: position) else { return allocate(position) }
    let chunk = ChunkID(inode: upload, index: slot.index)
    let replica = world.newReplica(isLast: position == chunks - 1)
    world.transfer(chunk, replica, to: slot.group, from: client.host, slow: isSlow ? 300 : isLong ? 1 : 20) {
      [self] receipts in
      if let receipts {
        let reference = ChunkReference(
          index: slot.index, group: slot.group.row.id, length: replica.length, root: replica.root)
        written[position] = ReceivedChunk(reference: reference, receipts: receipts)
      } else {
        failures += 1
        avoided.insert(slot.group.row.id)
        // The others in this group would fail like this one.
        slots = slots.filter { $0.value.group.row.id != slot.group.row.id }
      }
      if failures > mostFailures { return giveUp() }
      let isWaiting = receipts == nil || failures > 0 && !isLong
      world.schedule(after: isWaiting ? world.around(.seconds(3)) : .milliseconds(1)) { [self] in next() }
    }
  }

  /// An id is write-once: what failed goes again under a new index.
  private func allocate(_ position: Int) {
    guard let upload else { return }
    let (avoided, id) = (avoided, client.requestID())
    let wanted = Array(
      (position..<chunks).lazy.filter { [self] in written[$0] == nil && slots[$0] == nil }
        .prefix(isLong ? 100 : 1))
    client.ask {
      try $0.allocate(wanted.count, to: upload, avoiding: avoided, id: id)
    } then: { [self] result in
      switch result {
      case .success(let allocation):
        for (position, slot) in zip(wanted, allocation.slots) { slots[position] = slot }
        next()
      case .failure: giveUp()
      }
    }
  }

  private func giveUp() {
    guard !isOver, let upload else { return }
    isOver = true
    world.tally.add("uploads failed")
    let id = client.requestID()
    client.ask {
      try $0.abort(upload, id: id)
    } then: { _ in
    }
  }

  // MARK: The end

  private var rest: [ReceivedChunk] { (sealedChunks..<chunks).compactMap { written[$0] } }

  private func finish() {
    guard let upload else { return }
    if !rest.isEmpty, world.chance(300) { return seal() }
    commit(rest, of: upload)
  }

  /// The next segment.
  private func seal() {
    guard let upload else { return }
    let (part, segment, id) = (
      Array(rest.prefix(Limits.segmentChunks)), sealedSegments, client.requestID()
    )
    client.ask {
      try $0.seal(part, segment: segment, of: upload, id: id)
    } then: { [self] result in
      switch result {
      case .success(let again) where again.isEmpty:
        sealedSegments += 1
        world.tally.add(part.count == Limits.segmentChunks ? "segments filled" : "segments sealed")
        world.schedule(after: isSlow ? world.around(.minutes(20)) : .milliseconds(50)) { [self] in
          if sealedChunks < chunks { next() } else { commit([], of: upload) }
        }
      case .success(let again): sendAgain(again)
      case .failure: giveUp()
      }
    }
  }

  private func commit(_ final: [ReceivedChunk], of upload: UploadID) {
    let (sealed, id) = (sealedChunks, client.requestID())
    let length = ByteCount((0..<chunks).reduce(0) { $0 + Int(written[$1]?.reference.length ?? 0) })
    client.ask {
      try $0.commit(final, of: upload, sealed: sealed, length: length, id: id)
    } then: { [self] result in
      switch result {
      case .success(.committed(let receipt)):
        isOver = true
        world.tally.add("versions acknowledged")
        world.note("client \(client.number) is told that \(receipt.inode) is \(path)")
        world.tell(.versionAcknowledged(receipt.inode))
        // Few files have several pages, and they are soon overwritten.
        if isLong { ClientRead(of: client, path).begin() }
      case .success(.sendAgain(let again)): sendAgain(again)
      case .failure(let error):
        world.note("client \(client.number) can not commit \(upload): \(error)")
        giveUp()
      }
    }
  }

  private func sendAgain(_ indices: [UInt32]) {
    failures += 1
    if failures > mostFailures { return giveUp() }
    for place in sealedChunks..<chunks {
      guard let chunk = written[place], indices.contains(chunk.reference.index) else { continue }
      written[place] = nil
      position = min(position, place)
    }
    // A sealed segment is what it is.
    if position < sealedChunks || rest.count == chunks - sealedChunks { return giveUp() }
    next()
  }
}
