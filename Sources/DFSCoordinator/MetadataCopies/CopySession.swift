import DFSCodec
import DFSCore
import DFSMetadata
import DFSRPC
import DFSWire
import Foundation

/// One stream to one node: goes on with what the node has, or sends a checkpoint, then every round.
struct CopySession {
  private let copies: MetadataCopies
  private let node: NodeID
  /// Called when the node has taken something.
  private let succeeded: () -> Void
  /// What the node has; `nil` before its first checkpoint is complete.
  private var mark: RoundMark?
  /// The rounds after the checkpoint have outgrown it.
  private var isCheckpointDue = false

  /// Rounds of so long a time share one message and one sync of the node.
  private static let interval = Duration.milliseconds(50)
  private static let burst = 1 << 20
  /// A checkpoint leaves the disk and the network to others most of the time.
  private static let bytesPerSecond = 64 << 20
  /// So many bytes of rounds never call for a checkpoint.
  private static let leastLog: UInt64 = 16 << 20
  private static let patience = Duration.seconds(20)

  init(_ copies: MetadataCopies, node: NodeID, succeeded: @escaping () -> Void) {
    self.copies = copies
    self.node = node
    self.succeeded = succeeded
  }

  private typealias Writer = MessageWriter<WireKeepMetadataRequest>
  private typealias Reader = MessageReader<WireKeepMetadataResponse>

  /// Returns when the node is not wanted any more; throws what ends the stream before.
  mutating func run() async throws {
    let channel = try copies.channels.channel(to: node)
    var session = self
    try await channel.call(DataNodeMethods.keepMetadata) { writer, reader in
      try await session.hold(writer, reader)
    }
    self = session
  }

  private mutating func hold(_ writer: Writer, _ reader: Reader) async throws {
    let feed = copies.namespace.rounds
    try await send(.open(opening), writer, reader)
    try copies.board.check(mark, of: node)
    while copies.board.isWanted(node) {
      try Task.checkCancellation()
      guard let mark, !isCheckpointDue else {
        try await sendCheckpoint(writer, reader)
        continue
      }
      switch feed.rounds(after: mark, upTo: Self.burst) {
      case .rounds(let rounds):
        try await send(.rounds(pieces(rounds)), writer, reader, expecting: rounds.last?.mark)
        // While it catches up there is no reason to wait for more.
        if rounds.last?.mark == feed.last { try await Task.sleep(for: Self.interval) }
      case .upToDate: await waitForRounds(after: mark.round)
      case .gap: self.mark = nil
      }
    }
    try await writer.finish()
  }

  private var opening: WireKeepMetadataOpen {
    .with {
      $0.cluster = copies.namespace.cluster.rawValue
      $0.epoch = WireEpoch(copies.namespace.epoch)
      $0.node = node.rawValue
      $0.round = copies.namespace.rounds.last.round
    }
  }

  /// Returns after a while without rounds too, so that the end of a copy is noticed.
  private func waitForRounds(after round: UInt64) async {
    let feed = copies.namespace.rounds
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await feed.wait(after: round) }
      group.addTask { try? await Task.sleep(for: .seconds(1)) }
      await group.next()
      group.cancelAll()
    }
  }

  // MARK: Sending

  private mutating func sendCheckpoint(_ writer: Writer, _ reader: Reader) async throws {
    copies.board.has(node, mark)
    var session = self
    let isDone: Void? = try await copies.turns.run { try await session.sendWholeCheckpoint(writer, reader) }
    self = session
    guard isDone == nil else { return }
    // Another node's turn. A copy that is complete goes on with its rounds until then.
    isCheckpointDue = false
    try await Task.sleep(for: .milliseconds(100))
  }

  private mutating func sendWholeCheckpoint(_ writer: Writer, _ reader: Reader) async throws {
    let (namespace, feed, disk) = (copies.namespace, copies.namespace.rounds, copies.disk)
    var (walk, next) = try await disk.run {
      var walk = try namespace.checkpoint()
      let piece = try walk.nextPiece()
      return (walk, piece)
    }
    let start = walk.mark
    var (number, bytes, sent) = (UInt64(0), 0, start)
    let began = ContinuousClock.now
    while let content = next {
      (walk, next) = try await disk.run { [walk] in
        var walk = walk
        let piece = try walk.nextPiece()
        return (walk, piece)
      }
      let isLast = next == nil
      let piece = WireCheckpointPiece.with {
        $0.number = number
        $0.content = Data(content)
        $0.crc32C = CRC32C.checksum(content)
        $0.term = start.term
        if isLast { $0.lastOfRound = start.round }
      }
      try await send(.checkpoint(piece), writer, reader, expecting: isLast ? sent : nil)
      (number, bytes) = (number + 1, bytes + content.count)
      // Rounds that come meanwhile go along, so that none leaves the buffer before its turn.
      if !isLast { sent = try await sendRounds(of: feed, after: sent, writer, reader) }
      let due = Duration.milliseconds(bytes * 1000 / Self.bytesPerSecond) - (ContinuousClock.now - began)
      if due > .zero { try await Task.sleep(for: due) }
    }
    copies.logger.info(
      "sent a checkpoint of the metadata",
      metadata: ["node": "\(node)", "round": "\(start.round)", "bytes": "\(bytes)"])
  }

  private mutating func sendRounds(
    of feed: RoundFeed, after mark: RoundMark, _ writer: Writer, _ reader: Reader
  ) async throws -> RoundMark {
    switch feed.rounds(after: mark, upTo: Self.burst) {
    case .upToDate: return mark
    case .gap:
      throw DFSError(.unavailable, "changes come faster than a checkpoint of the metadata reaches node \(node)")
    case .rounds(let rounds):
      try await send(.rounds(pieces(rounds)), writer, reader)
      return rounds.last?.mark ?? mark
    }
  }

  private func pieces(_ rounds: [SettledRound]) -> WireRoundPieces {
    .with {
      $0.rounds = rounds.map { round in
        let content = round.encoded
        return .with {
          $0.round = round.mark.round
          $0.term = round.mark.term
          $0.content = Data(content)
          $0.crc32C = CRC32C.checksum(content)
        }
      }
    }
  }

  /// Sends one message and takes its answer: what is durable there now.
  private mutating func send(
    _ part: WireKeepMetadataRequest.OneOf_Part, _ writer: Writer, _ reader: Reader,
    expecting expected: RoundMark? = nil
  ) async throws {
    let answer = try await withThrowingTaskGroup(of: WireKeepMetadataResponse?.self) { [node] group in
      group.addTask {
        try await writer.write(.with { $0.part = part })
        return try await reader.next()
      }
      group.addTask {
        try await Task.sleep(for: Self.patience)
        throw DFSError(.unavailable, "node \(node) did not write the metadata within \(Self.patience)")
      }
      defer { group.cancelAll() }
      return try await group.next() ?? nil
    }
    guard let answer else { throw DFSError(.unavailable, "node \(node) ended the copy of the metadata") }
    let durable = answer.hasRound ? RoundMark(term: answer.term, round: answer.round) : nil
    if let expected, durable != expected {
      throw DFSError(
        .unavailable, "node \(node) has round \(answer.round) of the metadata where it was sent \(expected.round)")
    }
    mark = durable
    isCheckpointDue = answer.roundBytes > max(answer.checkpointBytes, Self.leastLog)
    copies.board.has(node, durable)
    if expected != nil { succeeded() }
  }
}
