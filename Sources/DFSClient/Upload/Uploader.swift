import DFSCore
import DFSRPC
import DFSWire
import Foundation
import NIOConcurrencyHelpers
import NIOCore

/// One upload from its source to the visible file: small content goes into the metadata in one call,
/// everything else through an upload with chunks.
struct Uploader: Sendable {
  let connection: ClusterConnection
  let path: RemotePath
  let options: UploadOptions
  let progress: ProgressHandler?

  /// `content` is the whole of it, when it is small enough for the metadata.
  func run(_ source: any ChunkSource, content: ByteBuffer?) async throws -> UploadReceipt {
    if let content, let receipt = try await putInline(content, source.attributes) { return receipt }
    return try await putChunks(source)
  }

  func run(_ stream: StreamSource) async throws -> UploadReceipt {
    let limit = connection.withKnowledge { $0.inlineLimit }
    if let content = try await stream.whole(upTo: limit) {
      return try await run(BytesSource(content, threads: connection.threads), content: content)
    }
    return try await putChunks(stream)
  }

  /// Nothing when the coordinator wants it in chunks.
  private func putInline(_ content: ByteBuffer, _ attributes: SourceAttributes) async throws -> UploadReceipt?
  {
    do {
      let answer = try await connection.mutate(CoordinatorMethods.putInline) { id in
        var request = WirePutInlineRequest()
        request.requestID = id
        request.path = path.description
        request.makeParents = options.makeParents
        if let condition = options.condition { request.precondition = WirePrecondition(condition) }
        request.attributes = WireNewAttributes(options, attributes)
        request.content = Data(content.readableBytesView)
        request.root = HashedPiece.root(of: content).wire
        request.replicas = UInt32(options.replicas ?? 0)
        return request
      }
      connection.saw(revision: answer.revision)
      connection.metrics.uploadedBytes.increment(by: content.readableBytes)
      progress?(
        TransferProgress(done: ByteCount(content.readableBytes), total: ByteCount(content.readableBytes)))
      let stored = try FileAttributes(answer.attributes)
      return UploadReceipt(attributes: stored, replicas: stored.replicas, rewrittenChunks: 0)
    } catch let error as DFSError where error.code == .invalidArgument && content.readableBytes > 0 {
      guard let limit = error.metadata["inline_limit"].flatMap({ Int($0) }),
        (0...ChunkSize.smallest).contains(limit)
      else { throw error }
      connection.withKnowledge { $0.inlineLimit = limit }
      return nil
    }
  }

  private func putChunks(_ source: any ChunkSource) async throws -> UploadReceipt {
    let begun = try await begin(source)
    let upload = UploadID(rawValue: begun.upload)
    guard let chunkSize = ChunkSize(bytes: Int(begun.chunkSize)) else {
      throw DFSError(
        .internal, "the coordinator gives a chunk size of \(begun.chunkSize) bytes, which cannot be")
    }
    let count = source.length.map { Int(chunkSize.chunkCount(of: $0)) }
    var limits = UploadPlan.Limits()
    limits.inFlight = inFlight(chunkSize, source)
    limits.patience = connection.configuration.patience
    limits.shortage = connection.configuration.shortagePatience
    var plan = UploadPlan(
      chunkCount: count, limits: limits, slots: begun.allocations.flatMap { $0.slots(isLastResort: false) },
      lease: .milliseconds(Int64(clamping: begun.leaseMs)), now: .now)
    let driver = UploadDriver(
      connection: connection, upload: upload, source: source, chunkSize: chunkSize,
      attributes: WireNewAttributes(options, source.attributes), progress: progress,
      capability: begun.capability)
    do {
      let stored = try await driver.run(&plan)
      return UploadReceipt(
        attributes: try FileAttributes(stored), replicas: plan.fewestReplicas, rewrittenChunks: plan.rewritten
      )
    } catch {
      let failure = driver.wasCommitSent ? settle(error) : error
      if (failure as? DFSError)?.code != .outcomeUnknown { await abort(upload) }
      throw failure
    }
  }

  private func begin(_ source: any ChunkSource) async throws -> WireBeginUploadResponse {
    let answer = try await connection.mutate(CoordinatorMethods.beginUpload) { id in
      var request = WireBeginUploadRequest()
      request.requestID = id
      request.path = path.description
      request.makeParents = options.makeParents
      if let condition = options.condition { request.precondition = WirePrecondition(condition) }
      request.chunkSize = UInt32(options.chunkSize?.bytes ?? 0)
      request.replicas = UInt32(options.replicas ?? 0)
      let likelySize = options.chunkSize ?? .standard
      if let length = source.length {
        request.expectedLength = UInt64(length)
        request.chunks = UInt32(min(128, max(1, likelySize.chunkCount(of: length))))
      } else {
        request.chunks = UInt32(connection.configuration.parallelism)
      }
      return request
    }
    connection.saw(revision: answer.revision)
    connection.learn(groups: answer.groups, nodes: answer.nodes)
    connection.withKnowledge { $0.inlineLimit = Int(answer.inlineLimit) }
    return answer
  }

  /// A source that is read again needs memory for a few pieces per chunk only; a stream's chunks are kept
  /// whole.
  private func inFlight(_ size: ChunkSize, _ source: any ChunkSource) -> Int {
    let most = connection.configuration.parallelism
    guard !source.isRereadable else { return most }
    return max(2, min(most, connection.configuration.memoryBudget.int / size.bytes))
  }

  /// A commit that was interrupted may have been executed all the same.
  private func settle(_ error: any Error) -> any Error {
    guard error is CancellationError else { return error }
    return DFSError(
      .outcomeUnknown, "interrupted while \(path) was being made visible: it may or may not be there",
      metadata: ["path": path.description])
  }

  /// Frees what the upload holds, also when this task was cancelled. Best effort: its lease ends by itself.
  private func abort(_ upload: UploadID) async {
    let connection = self.connection
    // A task of its own, because a cancelled one can send nothing; waited for, so that it has a parent.
    await Task {
      do {
        _ = try await connection.mutate(CoordinatorMethods.abortUpload, patience: .seconds(2)) { id in
          var request = WireAbortUploadRequest()
          request.requestID = id
          request.upload = upload.rawValue
          return request
        }
      } catch {
        connection.logger.info(
          "an upload was left to its lease", metadata: ["upload": "\(upload)", "error": "\(error)"])
      }
    }.value
  }
}
