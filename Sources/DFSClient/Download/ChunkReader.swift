import DFSCore
import DFSCrypto
import DFSRPC
import DFSWire
import NIOConcurrencyHelpers
import NIOCore

/// One chunk of a file version.
struct FileChunk: Sendable, Hashable {
  var id: ChunkID
  /// Its place in the order of the file, from 0.
  var position: Int
  /// Where it begins in the file.
  var offset: Int64
  var length: Int
  var group: GroupID
  var root: Digest
}

/// Reads one chunk, or a range of it, from whichever replica delivers, and gives on only bytes that match the
/// hash in the metadata.
///
/// The leaves that a node sends are checked against the chunk's root; each block is then checked against its
/// leaf. That is stronger than the CRC that comes along, which is therefore not computed again.
struct ChunkReader: Sendable {
  let connection: ClusterConnection
  let chunk: FileChunk
  /// For messages: the file that is read.
  let path: String
  let capability: WireCapability

  private enum Outcome: Sendable {
    case finished
    case failed(NodeID, DFSError)
    /// Another attempt delivers.
    case lost
    case timeToLook
  }

  /// Where the bytes go. Both closures get the position in the chunk and bytes that were verified, trimmed to
  /// the range that was asked for.
  struct Sink: Sendable {
    /// Runs on a thread for blocking calls, right after the check: may write to disk.
    var onThread: (@Sendable (Int, ByteBuffer) throws -> Void)?
    var deliver: (@Sendable (Int, ByteBuffer) async throws -> Void)?
  }

  /// Gives `sink` the bytes of `range` in order, each once. Throws `.corrupt` when no replica is good,
  /// `.unavailable` when none is reachable, and what the sink throws.
  func read(_ range: Range<Int>, to sink: Sink) async throws {
    guard !range.isEmpty else { return }
    var row = connection.row(of: chunk.group)
    if row == nil { row = try await connection.refresh(chunk.group) }
    var plan = ChunkReadPlan(
      chunk: chunk.id, range: range, order: row.map(order) ?? [], patience: connection.configuration.patience,
      now: .now)
    do {
      try await read(range, to: sink, &plan)
    } catch {
      if !Task.isCancelled { await report(plan.faults) }
      throw error
    }
    await report(plan.faults)
  }

  private func read(_ range: Range<Int>, to sink: Sink, _ plan: inout ChunkReadPlan) async throws {
    let shared = NIOLockedValueBox(ReadRace(offset: plan.offset))
    while !plan.isDone {
      switch try nextStep(&plan) {
      case .refreshGroup(let pause):
        try await Task.sleep(for: pause)
        plan.refreshed(order: order(try await connection.refresh(chunk.group)))
      case .ask(let attempt):
        let before = plan.offset
        let failures = try await race(attempt, plan.alternative, range, shared, sink)
        let state = shared.withLockedValue { $0 }
        if !state.leaves.isEmpty { plan.gotLeaves() }
        if state.offset > before { plan.progressed(to: state.offset, now: .now) }
        for (node, error) in failures {
          connection.logger.info(
            "a replica failed", metadata: ["chunk": "\(chunk.id)", "node": "\(node)", "error": "\(error)"])
          connection.metrics.failedReplicas.increment()
          plan.failed(node, error)
        }
      }
    }
  }

  private func order(_ row: GroupRow) -> [NodeID] {
    connection.withKnowledge { row.readOrder(health: $0.health, now: .now, spread: chunk.position) }
  }

  /// Names the file in the plan's verdict.
  private func nextStep(_ plan: inout ChunkReadPlan) throws -> ChunkReadPlan.Step {
    do {
      return try plan.nextStep(now: .now)
    } catch var error as DFSError {
      error.message = "\(path): \(error.message)"
      error.metadata["path"] = path
      throw error
    }
  }

  /// Asks one node, and a second one when the first is slow to begin. A node that is silent for too long is
  /// given up. Returns who failed and why; nobody when the range is complete.
  private func race(
    _ first: ChunkReadPlan.Attempt, _ second: ChunkReadPlan.Attempt?, _ range: Range<Int>,
    _ shared: NIOLockedValueBox<ReadRace>, _ sink: Sink
  ) async throws -> [(NodeID, DFSError)] {
    shared.withLockedValue { $0.begin() }
    connection.withKnowledge { $0.hedges.readStarted() }
    var hedge = connection.configuration.hedgeAfter == nil ? nil : second
    return try await withThrowingTaskGroup(of: Outcome.self) { group in
      defer { group.cancelAll() }
      var running: [(node: NodeID, watch: StallWatch)] = []
      var failures: [(NodeID, DFSError)] = []
      func start(_ attempt: ChunkReadPlan.Attempt) {
        let watch = StallWatch()
        running.append((attempt.node, watch))
        group.addTask { try await follow(attempt, range, shared, sink, watch) }
      }
      start(first)
      let firstLook =
        hedge.flatMap { _ in connection.configuration.hedgeAfter } ?? connection.configuration.stallTimeout
      group.addTask { try await look(after: firstLook) }
      while let outcome = try await group.next() {
        switch outcome {
        case .finished: return []
        case .lost: continue
        case .failed(let node, let error):
          // One that was given up has been counted.
          guard let place = running.firstIndex(where: { $0.node == node }) else { continue }
          running.remove(at: place)
          failures.append((node, error))
        case .timeToLook:
          if let attempt = hedge, shared.withLockedValue({ $0.winner == nil }),
            connection.withKnowledge({ $0.hedges.take() })
          {
            connection.metrics.hedgedReads.increment()
            start(attempt)
          }
          hedge = nil
          failures += giveUp(&running, shared)
          let pause = running.map { connection.configuration.stallTimeout - $0.watch.waited }.min() ?? .zero
          group.addTask { try await look(after: max(.milliseconds(20), pause)) }
        }
        // Whoever delivers has failed, or nobody is left who might.
        let winner = shared.withLockedValue { $0.winner }
        if running.isEmpty || failures.contains(where: { $0.0 == winner }) { return failures }
      }
      return failures
    }
  }

  private func look(after pause: Duration) async throws -> Outcome {
    try await Task.sleep(for: pause)
    return .timeToLook
  }

  /// Removes the attempts whose nodes are silent for too long.
  private func giveUp(
    _ running: inout [(node: NodeID, watch: StallWatch)], _ shared: NIOLockedValueBox<ReadRace>
  ) -> [(NodeID, DFSError)] {
    let limit = connection.configuration.stallTimeout
    let silent = shared.withLockedValue { race in
      race.giveUp(running.filter { $0.watch.waited >= limit }.map(\.node))
    }
    running.removeAll { silent.contains($0.node) }
    return silent.map { node in
      connection.note(node, .read, succeeded: false)
      return (node, DFSError(.unavailable, "datanode \(node) was silent for \(limit.formatted)"))
    }
  }

  /// One attempt at one node.
  private func follow(
    _ attempt: ChunkReadPlan.Attempt, _ range: Range<Int>, _ shared: NIOLockedValueBox<ReadRace>, _ sink: Sink,
    _ watch: StallWatch
  ) async throws -> Outcome {
    do {
      let outcome = try await ask(attempt, range, shared, sink, watch)
      if case .finished = outcome { connection.note(attempt.node, .read, succeeded: true) }
      return outcome
    } catch let error as SinkFailure {
      throw error.error
    } catch {
      try Task.checkCancellation()
      let failure = DFSError(wrapping: error, "reading from datanode \(attempt.node) failed")
      // A bad or missing chunk says nothing about the node's other chunks.
      if failure.code != .corrupt, failure.code != .notFound {
        connection.note(attempt.node, .read, succeeded: false)
      }
      if failure.code == .stale { _ = try await connection.refresh(chunk.group) }
      return .failed(attempt.node, failure)
    }
  }

  private func ask(
    _ attempt: ChunkReadPlan.Attempt, _ range: Range<Int>, _ shared: NIOLockedValueBox<ReadRace>, _ sink: Sink,
    _ watch: StallWatch
  ) async throws -> Outcome {
    var request = WireReadChunkRequest()
    request.chunk = WireChunkId(chunk.id)
    request.group = chunk.group.rawValue
    request.offset = UInt32(attempt.offset)
    request.length = UInt32(range.upperBound - attempt.offset)
    request.root = chunk.root.wire
    request.withoutLeaves = !attempt.needsLeaves
    request.node = attempt.node.rawValue
    if !capability.token.isEmpty { request.capability = capability }
    let channel = try connection.channel(to: attempt.node)
    let options = CallOptions(metadata: OperationTrace.metadata)
    return try await watch.waiting {
      try await channel.call(DataNodeMethods.readChunk, request, options: options) { reader in
        try await receive(reader, attempt, range, shared, sink, watch)
      }
    }
  }

  private func receive(
    _ reader: MessageReader<ReadChunkPart>, _ attempt: ChunkReadPlan.Attempt, _ range: Range<Int>,
    _ shared: NIOLockedValueBox<ReadRace>, _ sink: Sink, _ watch: StallWatch
  ) async throws -> Outcome {
    guard case .header(let header)? = try await watch.waiting({ try await reader.next() }) else {
      throw DFSError(.corrupt, "datanode \(attempt.node) answers without a header")
    }
    let known = attempt.needsLeaves ? try leaves(of: header) : shared.withLockedValue { $0.leaves }
    guard shared.withLockedValue({ $0.claim(attempt.node, leaves: known) }) else { return .lost }
    var offset = attempt.offset
    while offset < range.upperBound {
      guard case .data(let piece)? = try await watch.waiting({ try await reader.next() }) else {
        throw DFSError(.unavailable, "datanode \(attempt.node) ended the chunk too early")
      }
      guard case .bytes(let bytes) = piece.payload, Int(piece.offset) == offset else {
        throw DFSError(
          .corrupt, "datanode \(attempt.node) sends another part of the chunk than was asked for")
      }
      guard shared.withLockedValue({ $0.startDelivery(by: attempt.node) }) else { return .lost }
      try await accept(bytes, at: offset, range, known, sink)
      offset += bytes.readableBytes
      shared.withLockedValue { [offset] in $0.delivered(to: offset) }
    }
    return .finished
  }

  private func leaves(of header: WireReadChunkHeader) throws -> [Digest] {
    let leaves = ByteBuffer(bytes: header.leaves).digests
    guard Int(header.length) == chunk.length, leaves.count == Block.count(of: chunk.length),
      MerkleTree.root(of: leaves) == chunk.root
    else { throw DFSError(.corrupt, "the hashes of chunk \(chunk.id) do not match its root in the metadata") }
    return leaves
  }

  private func accept(
    _ bytes: ByteBuffer, at offset: Int, _ range: Range<Int>, _ leaves: [Digest], _ sink: Sink
  ) async throws {
    let end = offset + bytes.readableBytes
    guard end == chunk.length || bytes.readableBytes % Block.size == 0, end <= chunk.length else {
      throw DFSError(.corrupt, "a part of chunk \(chunk.id) does not end with a block")
    }
    let wanted = range.clamped(to: offset..<end)
    let part =
      bytes.getSlice(at: bytes.readerIndex + wanted.lowerBound - offset, length: wanted.count) ?? ByteBuffer()
    let id = chunk.id
    try await connection.threads.run {
      try verify(bytes, at: offset, of: id, leaves)
      do { try sink.onThread?(wanted.lowerBound, part) } catch { throw SinkFailure(error) }
    }
    connection.metrics.downloadedBytes.increment(by: part.readableBytes)
    do { try await sink.deliver?(wanted.lowerBound, part) } catch { throw SinkFailure(error) }
  }

  /// Tells the coordinator of bad replicas.
  private func report(_ faults: [NodeID: ChunkReadPlan.Fault]) async {
    guard !faults.isEmpty else { return }
    await connection.report(
      faults.map { node, kind in
        var report = WireReplicaReport()
        report.chunk = WireChunkId(chunk.id)
        report.group = chunk.group.rawValue
        report.node = node.rawValue
        report.fault =
          switch kind {
          case .corrupt: .corrupt
          case .missing: .missing
          case .unreachable: .unreachable
          }
        return report
      })
  }
}

/// Where the bytes go failed, not where they come from: another replica does not help.
struct SinkFailure: Error {
  let error: any Error
  init(_ error: any Error) { self.error = error }
}

private func verify(_ bytes: ByteBuffer, at offset: Int, of chunk: ChunkID, _ leaves: [Digest]) throws {
  try bytes.withUnsafeReadableBytes { bytes in
    for start in stride(from: 0, to: bytes.count, by: Block.size) {
      let block = UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + Block.size, bytes.count)])
      let number = (offset + start) / Block.size
      guard number < leaves.count, MerkleTree.verify(block, against: leaves[number]) else {
        throw DFSError(.corrupt, "block \(number) of chunk \(chunk) fails its hash")
      }
    }
  }
}
