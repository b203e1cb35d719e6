import DFSCodec
package import DFSCore
import DFSKeyValue
package import DFSMetadata
package import DFSRPC
package import DFSTransport
import DFSWire
package import Logging

/// Rebuilds a coordinator's directory from the copies of its metadata on datanodes.
///
/// The directory must be new or empty; it becomes a coordinator's only when everything is there and proved, as a new
/// incarnation that is held. The datanodes are only read.
package struct MetadataRecovery: Sendable {
  /// What came of it.
  package struct Outcome: Sendable {
    package var source: RecoveryPlan.Finding
    package var cluster: ClusterID
    package var mark: RoundMark
    package var revision: Revision
    package var counts: NamespaceCounts
    /// Of the rebuilt directory; absent for a look.
    package var incarnation: UInt16?
    /// Sentences on what is lost or uncertain, worst first.
    package var warnings: [String]
  }

  private let nodes: [Endpoint]
  private let channel: RPCChannel.Configuration
  private let loops: NetworkLoops
  private let disk: BlockingThreads
  private let logger: Logger

  private static let patience = Duration.seconds(10)

  package init(
    nodes: [Endpoint], channel: RPCChannel.Configuration, loops: NetworkLoops, disk: BlockingThreads,
    logger: Logger
  ) {
    self.nodes = nodes
    self.channel = channel
    self.loops = loops
    self.disk = disk
    self.logger = logger
  }

  // MARK: Looking

  /// Asks every node what it has; those that do not answer come with their error.
  package func survey() async -> (findings: [RecoveryPlan.Finding], silent: [(node: Endpoint, error: DFSError)]) {
    let answers = await withTaskGroup(of: (Int, Result<RecoveryPlan.Finding, DFSError>).self) { group in
      for (index, node) in nodes.enumerated() {
        group.addTask {
          do { return (index, .success(try await header(of: node))) } catch {
            return (index, .failure(DFSError(wrapping: error, "node \(node) could not be asked")))
          }
        }
      }
      return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
    }
    var findings: [RecoveryPlan.Finding] = []
    var silent: [(node: Endpoint, error: DFSError)] = []
    for (index, node) in nodes.enumerated() {
      switch answers[index] {
      case .success(let finding): findings.append(finding)
      case .failure(let error): silent.append((node, error))
      case nil: break
      }
    }
    return (findings, silent)
  }

  private func header(of address: Endpoint) async throws -> RecoveryPlan.Finding {
    try await call(address, headerOnly: true, timeout: Self.patience) { reader in
      guard case .header(let header) = try await reader.next()?.part else {
        throw DFSError(.internal, "datanode \(address) gave no header of its copy")
      }
      return try RecoveryPlan.Finding(header, at: address)
    }
  }

  private func call<Result: Sendable>(
    _ address: Endpoint, headerOnly: Bool, timeout: Duration?,
    _ body: (MessageReader<WireReadMetadataResponse>) async throws -> Result
  ) async throws -> Result {
    let channel = RPCChannel(endpoints: [address], configuration: channel, loops: loops, logger: logger)
    do {
      let result = try await channel.call(
        DataNodeMethods.readMetadata, .with { $0.headerOnly = headerOnly },
        options: CallOptions(timeout: timeout), body)
      await channel.close()
      return result
    } catch {
      await channel.close()
      throw error
    }
  }

  /// Reads the best copy whole and keeps nothing of it: what `restore` would give.
  package func look(_ plan: RecoveryPlan) async throws -> Outcome {
    try await withBest(of: plan) { choice in
      var survey = CopySurvey()
      try await read(choice) { part in
        switch part {
        case .piece(let bytes, let number): try survey.add(piece: bytes, number: number)
        case .end(let mark): try survey.endCheckpoint(at: mark)
        case .round(let bytes): try survey.add(round: bytes)
        }
      }
      let found = try survey.finish()
      return Outcome(
        source: choice, cluster: found.cluster, mark: found.mark, revision: found.revision,
        counts: found.counts, warnings: plan.losses(of: choice, revision: found.revision))
    }
  }

  // MARK: Restoring

  /// Rebuilds `directory` from the best copy that proves whole. Throws `.failedPrecondition` when it is not empty.
  package func restore(_ plan: RecoveryPlan, into directory: String) async throws -> Outcome {
    let place = try await disk.run { try DataDirectory(forRestore: directory) }
    return try await withBest(of: plan) { choice in
      let (store, path) = try await disk.run {
        let path = try place.emptyDatabasePath()
        let options = RocksDBOptions(cache: RocksDBCache(capacity: .mib(32)))
        return (try RocksDBStore(path: path, options: options), path)
      }
      defer { store.close() }
      var restore = try await disk.run { try MetadataRestore(into: store) }
      try await read(choice) { part in
        restore = try await disk.run { [restore] in
          var restore = restore
          switch part {
          case .piece(let bytes, let number): try restore.add(piece: bytes, number: number)
          case .end(let mark): try restore.endCheckpoint(at: mark)
          case .round(let bytes): try restore.add(round: bytes)
          }
          return restore
        }
      }
      let restored = try await disk.run { [restore] in
        var restore = restore
        let outcome = try restore.finish(above: plan.seen)
        store.close()
        try place.publish(path)
        return outcome
      }
      return Outcome(
        source: choice, cluster: restored.cluster, mark: restored.mark, revision: restored.revision,
        counts: restored.counts, incarnation: restored.incarnation,
        warnings: plan.losses(of: choice, revision: restored.revision) + unasked(restored.nodes, plan))
    }
  }

  /// Nodes of the cluster that were not asked may have seen more.
  private func unasked(_ nodes: [ClusterNode], _ plan: RecoveryPlan) -> [String] {
    let asked = Set(plan.findings.map(\.node))
    let missing = nodes.filter { $0.state != .removed && !asked.contains($0.id) }
    guard !missing.isEmpty else { return [] }
    let names = missing.map { node in
      "\(node.id)" + (node.endpoints.first.map { " at \($0)" } ?? "")
    }.joined(separator: ", ")
    return [
      "\(missing.count) datanodes of this cluster were not asked: \(names). One of them may have a newer copy, or may "
        + "have obeyed a later restore; recover again with them, or be sure that they are gone for good"
    ]
  }

  /// Runs `body` with the best copy; one that proves damaged or does not come through makes room for the next best.
  private func withBest(
    of plan: RecoveryPlan, _ body: (RecoveryPlan.Finding) async throws -> Outcome
  ) async throws -> Outcome {
    var warnings: [String] = []
    var last: DFSError?
    for choice in plan.choices {
      do {
        var outcome = try await body(choice)
        outcome.warnings = warnings + outcome.warnings
        return outcome
      } catch {
        let error = DFSError(wrapping: error, "the copy on node \(choice.node) could not be read")
        guard [.corrupt, .unavailable, .notFound, .deadlineExceeded].contains(error.code) else { throw error }
        last = error
        warnings.append("the copy on node \(choice.node) at \(choice.address) can not be used: \(error)")
      }
    }
    throw DFSError(
      last?.code ?? .notFound, "no copy of the metadata can be used: \(warnings.joined(separator: "; "))")
  }

  // MARK: Reading a copy

  private enum Part: Sendable {
    case piece([UInt8], number: UInt64)
    case end(RoundMark)
    case round([UInt8])
  }

  private func read(_ choice: RecoveryPlan.Finding, _ body: (Part) async throws -> Void) async throws {
    try await call(choice.address, headerOnly: false, timeout: nil) { reader in
      guard case .header(let header) = try await reader.next()?.part else {
        throw DFSError(.internal, "node \(choice.node) gave no header of its copy")
      }
      guard header.round == choice.mark?.round else {
        throw DFSError(
          .unavailable,
          "the copy on node \(choice.node) has changed since it was asked: a coordinator still runs; stop it first")
      }
      var last: UInt64 = 0
      while let message = try await reader.next() {
        switch message.part {
        case .checkpoint(let piece):
          try await body(.piece(try content(piece.content, piece.crc32C), number: piece.number))
          guard piece.hasLastOfRound else { continue }
          try await body(.end(RoundMark(term: piece.term, round: piece.lastOfRound)))
          last = piece.lastOfRound
        case .round(let round):
          try await body(.round(try content(round.content, round.crc32C)))
          last = round.round
        case .header, nil: throw DFSError(.corrupt, "node \(choice.node) gave something else than its copy")
        }
      }
      guard last == header.round else {
        throw DFSError(.corrupt, "the copy on node \(choice.node) ends at round \(last), before its last")
      }
    }
  }

  private func content(_ bytes: some Sequence<UInt8>, _ checksum: UInt32) throws -> [UInt8] {
    let bytes = [UInt8](bytes)
    guard CRC32C.checksum(bytes) == checksum else {
      throw DFSError(.corrupt, "a piece of the copy fails its checksum")
    }
    return bytes
  }
}

extension RecoveryPlan.Finding {
  fileprivate init(_ wire: WireMetadataCopyHeader, at address: Endpoint) throws {
    self.init(
      address: address, node: NodeID(rawValue: wire.node), cluster: ClusterID(rawValue: wire.cluster),
      epoch: try Epoch(wire.epoch), mark: wire.round == 0 ? nil : RoundMark(term: wire.term, round: wire.round),
      seen: MetadataRestore.Seen(
        epoch: try Epoch(wire.seenEpoch), revision: Revision(rawValue: wire.seenRevision)))
  }
}
