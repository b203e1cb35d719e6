import DFSCore

/// Ends the hold that a restore has put on the namespace: reaping and sweeping go on. Changes nothing when it is
/// not held.
package struct ReleaseHold: Mutation {
  package struct Outcome: Sendable, Hashable {
    /// Whether it was held before.
    package var wasHeld: Bool
  }

  package init() {}
}

extension ReleaseHold {
  package static var kind: OperationKind { .releaseHold }

  package func encodeArguments(to writer: inout RecordWriter) {}
  package static func encode(_ outcome: Outcome, to writer: inout RecordWriter) {
    writer.byte(outcome.wasHeld ? 1 : 0)
  }
  package static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome {
    Outcome(wasHeld: try reader.optional { _ in } != nil)
  }

  package func execute(in transaction: inout Transaction) throws -> Outcome {
    guard var cluster = try transaction.record(Keys.cluster, ClusterRecord.self) else {
      throw DFSError(.corrupt, "the metadata store does not say which cluster's it is")
    }
    guard cluster.isHeld else { return Outcome(wasHeld: false) }
    cluster.isHeld = false
    try transaction.put(cluster, at: Keys.cluster)
    transaction.note(.holdReleased)
    return Outcome(wasHeld: true)
  }
}

extension Transaction {
  /// Throws `.failedPrecondition` while the namespace is held: every mutation that ends the life of a chunk asks
  /// first.
  func requireReleased() throws {
    guard !context.isHeld else {
      throw DFSError(
        .failedPrecondition,
        "the metadata was restored from a copy: nothing is deleted until `dfsd admin release`",
        metadata: ["held": "true"])
    }
  }
}
