package import DFSCore

/// One change of the namespace: plain arguments, and the code that a round runs with them. One operation, one
/// file.
///
/// `execute` runs on the round's thread, sees the effects of every operation before it, and either returns,
/// or throws and has changed nothing. It must give the same outcome for the same arguments and state.
package protocol Mutation: Sendable {
  associatedtype Outcome: Sendable

  /// Stored with the outcome, so that a replayed id is answered by the operation that it belongs to.
  static var kind: OperationKind { get }
  /// The arguments, for the fingerprint that tells a replay from a reused id. Every field that matters is in
  /// it.
  func encodeArguments(to writer: inout RecordWriter)
  static func encode(_ outcome: Outcome, to writer: inout RecordWriter)
  static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome
  func execute(in transaction: inout Transaction) throws -> Outcome
}

/// The operations, by the number they are stored under. Numbers are never reused.
package enum OperationKind: UInt8, Sendable, CaseIterable {
  case beginUpload = 1
  case allocateChunks = 2
  case sealSegment = 3
  case commitUpload = 4
  case abortUpload = 5
  case putInline = 6
  case makeDirectory = 7
  case rename = 8
  case remove = 9
  case setAttributes = 10
  case putNode = 11
  case changeGroups = 12
  case reap = 13
  case undelete = 20
  case purgeTrash = 21
  case markBehind = 30
  case condemnOrphans = 40
  case releaseHold = 60
}

/// What a settled mutation answers. Durable when the caller has it.
package struct Settled<Outcome: Sendable>: Sendable {
  package var outcome: Outcome
  /// The mutation's own revision, or, when it had nothing to change, the one it saw.
  package var revision: Revision
  /// Whether this answer was given before, to the same request id.
  package var isReplay: Bool
}
