import DFSCore
import DFSMetadata

@testable import DFSCoordinator

/// One file on its way in: begin, a transfer for each chunk, now and then a seal, the commit. Some take hours,
/// some are given up, some are forgotten.
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
  private var isSealed = false
  private var isOver = false

  init(of client: Client, _ path: RemotePath) {
    self.client = client
    self.path = path
    world = client.world
    chunks = 1 + world.below(world.scenario.workload.mostChunks)
    isSlow = world.chance(world.scenario.workload.slow)
  }

  func begin() {
    let (path, chunks, id) = (path, chunks, client.requestID())
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
    if world.chance(world.scenario.workload.abandoned / 4) {
      isOver = true
      world.tally.add("uploads abandoned")
      guard world.chance(500) else { return }
      let id = client.requestID()
      return client.ask {
        try $0.abort(upload, id: id)
      } then: { _ in
      }
    }
    let pause = isSlow ? world.around(.minutes(10)) : world.span(.milliseconds(1), .milliseconds(200))
    world.schedule(after: pause) { [self] in
      if let position = (0..<chunks).first(where: { written[$0] == nil }) {
        write(position)
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
    let replica = Replica(
      length: UInt32(CoordinatorProcess.chunkSize.bytes), root: digest(of: world.number()),
      isSmall: world.chance(300))
    world.transfer(chunk, replica, to: slot.group, from: client.host, isLong: isSlow) { [self] receipts in
      if let receipts {
        let reference = ChunkReference(
          index: slot.index, group: slot.group.row.id, length: replica.length, root: replica.root)
        written[position] = ReceivedChunk(reference: reference, receipts: receipts)
      } else {
        failures += 1
        avoided.insert(slot.group.row.id)
      }
      if failures > 20 { return giveUp() }
      world.schedule(after: failures > 0 ? world.around(.seconds(3)) : .milliseconds(1)) { [self] in next() }
    }
  }

  /// An id is write-once: what failed goes again under a new index.
  private func allocate(_ position: Int) {
    guard let upload else { return }
    let (avoided, id) = (avoided, client.requestID())
    client.ask {
      try $0.allocate(1, to: upload, avoiding: avoided, id: id)
    } then: { [self] result in
      switch result {
      case .success(let allocation):
        slots[position] = allocation.slots.first
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

  private func finish() {
    guard let upload else { return }
    let all = (0..<chunks).compactMap { written[$0] }
    if !isSealed, world.chance(300) {
      let id = client.requestID()
      return client.ask {
        try $0.seal(all, of: upload, id: id)
      } then: { [self] result in
        switch result {
        case .success(let again) where again.isEmpty:
          isSealed = true
          world.schedule(after: isSlow ? world.around(.minutes(20)) : .milliseconds(50)) { [self] in
            commit([], of: upload)
          }
        case .success(let again): sendAgain(again)
        case .failure: giveUp()
        }
      }
    }
    commit(all, of: upload)
  }

  private func commit(_ final: [ReceivedChunk], of upload: UploadID) {
    let (sealed, id) = (isSealed ? chunks : 0, client.requestID())
    client.ask {
      try $0.commit(final, of: upload, sealed: sealed, id: id)
    } then: { [self] result in
      switch result {
      case .success(.committed(let receipt)):
        isOver = true
        world.tally.add("versions acknowledged")
        world.note("client \(client.number) is told that \(receipt.inode) is \(path)")
        world.tell(.versionAcknowledged(receipt.inode))
      case .success(.sendAgain(let again)): sendAgain(again)
      case .failure(let error):
        world.note("client \(client.number) can not commit \(upload): \(error)")
        giveUp()
      }
    }
  }

  private func sendAgain(_ indices: [UInt32]) {
    failures += 1
    if failures > 20 || isSealed { return giveUp() }
    for (position, chunk) in written where indices.contains(chunk.reference.index) { written[position] = nil }
    next()
  }
}
