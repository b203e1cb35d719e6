import DFSCore
import DFSRPC
import DFSWire
import Foundation
import NIOConcurrencyHelpers
import NIOCore

/// Carries out what `UploadPlan` decides: one task per chunk in flight, one loop that hears how they went.
struct UploadDriver: Sendable {
  let connection: ClusterConnection
  let upload: UploadID
  let source: any ChunkSource
  let chunkSize: ChunkSize
  let attributes: WireNewAttributes
  let progress: ProgressHandler?
  /// The coordinator's right to write, carried to the datanodes.
  let capability: WireCapability
  private let commitSent = NIOLockedValueBox(false)

  init(
    connection: ClusterConnection, upload: UploadID, source: any ChunkSource, chunkSize: ChunkSize,
    attributes: WireNewAttributes, progress: ProgressHandler?, capability: WireCapability
  ) {
    self.connection = connection
    self.upload = upload
    self.source = source
    self.chunkSize = chunkSize
    self.attributes = attributes
    self.progress = progress
    self.capability = capability
  }

  /// Whether the coordinator may have been asked to make the file visible.
  var wasCommitSent: Bool { commitSent.withLockedValue { $0 } }

  private enum Event: Sendable {
    case filled
    case sourceEnded
    case wrote(Int, UploadPlan.WrittenChunk)
    case writeFailed(Int, UploadPlan.Slot, former: UploadPlan.WrittenChunk?, DFSError)
    case allocated([UploadPlan.Slot])
    case allocationFailed(DFSError)
    case sealed(Int)
    case rejected([UInt32])
    case renewed(Duration)
    case renewalFailed
    case commitDelayed(DFSError)
    case committed(WireCommitUploadResponse)
    case failed(DFSError)
    case woke(ContinuousClock.Instant)
  }

  /// Runs the upload to its commit. Throws what ended it; the caller aborts it then.
  func run(_ plan: inout UploadPlan) async throws -> WireAttributes {
    var done: Int64 = 0
    var wakes: Set<ContinuousClock.Instant> = []
    return try await withThrowingTaskGroup(of: Event.self) { group in
      defer { group.cancelAll() }
      while true {
        let step = try plan.nextStep(now: .now, canWrite: connection.canWrite)
        try Task.checkCancellation()
        if case .wait(let until) = step {
          if wakes.insert(until).inserted { addTimer(until, &group) }
          guard let event = try await group.next() else { throw CancellationError() }
          if let attributes = try handle(event, &plan, &wakes, &done) { return attributes }
        } else {
          start(step, &group)
        }
      }
    }
  }

  private func addTimer(_ until: ContinuousClock.Instant, _ group: inout ThrowingTaskGroup<Event, any Error>)
  {
    group.addTask {
      try await Task.sleep(until: until, clock: .continuous)
      return .woke(until)
    }
  }

  private func start(_ step: UploadPlan.Step, _ group: inout ThrowingTaskGroup<Event, any Error>) {
    group.addTask {
      do {
        return try await perform(step)
      } catch is CancellationError {
        throw CancellationError()
      } catch let error as SourceFailure {
        return .failed(error.error)
      } catch {
        return .failed(DFSError(wrapping: error, "the upload failed"))
      }
    }
  }

  private func perform(_ step: UploadPlan.Step) async throws -> Event {
    switch step {
    case .fill(let position):
      return try await source.fill(position, chunkSize: chunkSize.bytes) ? .filled : .sourceEnded
    case .write(let position, let slot, let former):
      return try await write(position, slot, former)
    case .allocate(let count):
      do {
        return .allocated(try await allocate(count))
      } catch let error as DFSError where error.isTooFewNodes {
        return .allocationFailed(error)
      }
    case .seal(let segment, let chunks): return try await seal(segment, chunks)
    case .renew: return try await renew()
    case .commit(let commit):
      do {
        return try await self.commit(commit)
      } catch let error as DFSError where error.isTooFewCopies {
        commitSent.withLockedValue { $0 = false }
        return .commitDelayed(error)
      }
    case .wait, .done: preconditionFailure("waiting is not a task")
    }
  }

  /// The attributes of the stored file, once it is committed.
  private func handle(
    _ event: Event, _ plan: inout UploadPlan, _ wakes: inout Set<ContinuousClock.Instant>, _ done: inout Int64
  ) throws -> WireAttributes? {
    switch event {
    case .filled: plan.filled()
    case .sourceEnded: plan.sourceEnded()
    case .wrote(let position, let chunk):
      plan.wrote(position, chunk, now: .now)
      source.release(position)
      done += Int64(chunk.length)
      connection.metrics.uploadedBytes.increment(by: Int(chunk.length))
      progress?(
        TransferProgress(
          done: ByteCount(min(done, source.length ?? done)), total: source.length.map { ByteCount($0) }))
    case .writeFailed(let position, let slot, let former, let error):
      connection.logger.info(
        "a chunk is written again",
        metadata: ["upload": "\(upload)", "index": "\(slot.index)", "error": "\(error)"])
      connection.metrics.rewrittenChunks.increment()
      let isLast = slot.isLastResort && !connection.canWrite(slot.group)
      plan.writeFailed(
        position, group: slot.group, former: former, error, prospect: isLast ? .none : .others, now: .now)
    case .allocated(let slots): plan.allocated(slots, now: .now)
    case .allocationFailed(let error): plan.allocationFailed(error, now: .now)
    case .sealed(let segment): plan.sealed(segment)
    case .rejected(let indices): plan.rejected(indices, now: .now)
    case .renewed(let lease): plan.renewed(lease: lease, now: .now)
    case .renewalFailed: plan.renewalFailed(now: .now)
    case .commitDelayed(let error):
      connection.logger.info(
        "the commit waits for repair", metadata: ["upload": "\(upload)", "error": "\(error)"])
      plan.commitDelayed(error, now: .now)
    case .committed(let answer):
      plan.committed()
      return answer.attributes
    case .failed(let error): plan.fail(error)
    case .woke(let instant): wakes.remove(instant)
    }
    return nil
  }

  private func write(
    _ position: Int, _ slot: UploadPlan.Slot, _ former: UploadPlan.WrittenChunk?
  ) async throws -> Event {
    let writer = ChunkWriter(connection: connection, source: source, chunkSize: chunkSize.bytes)
    do {
      if let former, !source.isRereadable { try await refill(position, former) }
      let chunk = try await writer.write(
        position: position, as: ChunkID(inode: upload, index: slot.index), in: slot.group,
        capability: capability)
      // The same bytes must have been read twice, or the file would be a mix of two states.
      if let former, former.root != chunk.root {
        throw SourceFailure(DFSError(.failedPrecondition, "the source changed while it was read"))
      }
      return .wrote(position, chunk)
    } catch let error as DFSError {
      // A datanode that stops cancels the call: that is its failure, unless this upload was cancelled.
      try Task.checkCancellation()
      return .writeFailed(position, slot, former: former, error)
    }
  }

  /// Brings the bytes of a chunk that was durable and then rejected back from its replicas.
  private func refill(_ position: Int, _ former: UploadPlan.WrittenChunk) async throws {
    let chunk = FileChunk(
      id: ChunkID(inode: upload, index: former.index), position: position, offset: 0,
      length: Int(former.length),
      group: former.group, root: former.root)
    let reader = ChunkReader(connection: connection, chunk: chunk, path: "the upload", capability: capability)
    let bytes = NIOLockedValueBox(ByteBuffer())
    try await reader.read(
      0..<chunk.length,
      to: ChunkReader.Sink(deliver: { _, piece in bytes.withLockedValue { _ = $0.writeImmutableBuffer(piece) }
      }))
    var rest = bytes.withLockedValue { $0 }
    var pieces: [ByteBuffer] = []
    while let piece = rest.readSlice(length: min(HashedPiece.size, rest.readableBytes)),
      piece.readableBytes > 0
    {
      pieces.append(piece)
    }
    try await source.refill(position, with: pieces)
  }

  private func allocate(_ count: Int) async throws -> [UploadPlan.Slot] {
    let avoid = connection.withKnowledge { known in
      known.map.groups.values.filter { !$0.canWrite(health: known.health, now: .now) }.map(\.id.rawValue)
    }
    // The plan decides how long a shortage of datanodes is put up with.
    let answer = try await connection.mutate(
      CoordinatorMethods.allocateChunks, as: .preparation, shortage: .zero
    ) { id in
      var request = WireAllocateChunksRequest()
      request.requestID = id
      request.upload = upload.rawValue
      request.chunks = UInt32(count)
      request.avoidGroups = Array(avoid.sorted().prefix(1000))
      return request
    }
    connection.saw(revision: answer.revision)
    connection.learn(groups: answer.groups, nodes: answer.nodes)
    let slots = answer.allocations.flatMap { $0.slots(isLastResort: true) }
    guard !slots.isEmpty else { throw DFSError(.internal, "the coordinator allocated no chunk") }
    return slots
  }

  private func seal(_ segment: Int, _ chunks: [UploadPlan.WrittenChunk]) async throws -> Event {
    let answer = try await connection.mutate(CoordinatorMethods.sealSegment, as: .preparation) { id in
      var request = WireSealSegmentRequest()
      request.requestID = id
      request.upload = upload.rawValue
      request.segment = UInt64(segment)
      request.chunks = chunks.map { WireSealedChunk($0) }
      return request
    }
    connection.saw(revision: answer.revision)
    guard !answer.rejectedIndices.isEmpty else { return .sealed(segment) }
    await refreshGroups(of: answer.rejectedIndices, in: chunks)
    return .rejected(answer.rejectedIndices)
  }

  private func renew() async throws -> Event {
    var request = WireRenewUploadRequest()
    request.uploads = [upload.rawValue]
    do {
      let answer = try await connection.read(CoordinatorMethods.renewUpload, request)
      guard answer.gone.isEmpty else {
        return .failed(
          DFSError(
            .stale, "the upload's lease ended while its coordinator could not be reached; put the file again")
        )
      }
      return .renewed(.milliseconds(Int64(clamping: answer.leaseMs)))
    } catch let error as DFSError where error.code == .unavailable {
      return .renewalFailed
    }
  }

  private func commit(_ commit: UploadPlan.Commit) async throws -> Event {
    try await source.checkUnchanged()
    commitSent.withLockedValue { $0 = true }
    let answer = try await connection.mutate(CoordinatorMethods.commitUpload) { id in
      var request = WireCommitUploadRequest()
      request.requestID = id
      request.upload = upload.rawValue
      request.chunkCount = UInt64(commit.chunkCount)
      request.length = UInt64(commit.length)
      request.root = commit.root.wire
      request.rootKind = .canonical
      request.attributes = attributes
      request.lastSegment = commit.lastSegment.map { WireSealedChunk($0) }
      return request
    }
    connection.saw(revision: answer.revision)
    guard !answer.rejectedIndices.isEmpty else { return .committed(answer) }
    commitSent.withLockedValue { $0 = false }
    await refreshGroups(of: answer.rejectedIndices, in: commit.lastSegment)
    return .rejected(answer.rejectedIndices)
  }

  /// The coordinator knows of changes that we do not; a failure shows again when the chunks are written.
  private func refreshGroups(of indices: [UInt32], in chunks: [UploadPlan.WrittenChunk]) async {
    let groups = Set(chunks.filter { indices.contains($0.index) }.map(\.group))
    for group in groups.prefix(100) { _ = try? await connection.refresh(group) }
  }
}

extension WireAllocation {
  func slots(isLastResort: Bool) -> [UploadPlan.Slot] {
    let (end, overflow) = firstIndex.addingReportingOverflow(min(count, 512))
    guard !overflow else { return [] }
    return (firstIndex..<end).map {
      UploadPlan.Slot(index: $0, group: GroupID(rawValue: group), isLastResort: isLastResort)
    }
  }
}

extension WireSealedChunk {
  init(_ chunk: UploadPlan.WrittenChunk) {
    self.init()
    reference.index = chunk.index
    reference.length = chunk.length
    reference.group = chunk.group.rawValue
    reference.root = chunk.root.wire
    receipts = chunk.receipts
  }
}
