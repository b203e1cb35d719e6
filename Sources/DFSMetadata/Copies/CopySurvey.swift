package import DFSCore

/// Reads a copy without keeping it: checks that nothing is missing, and tells what a restore would give. For a look
/// before anything is written.
package struct CopySurvey {
  private var pieces: UInt64 = 0
  private var lastKey: [UInt8] = []
  private var mark: RoundMark?
  private var cluster: ClusterRecord?
  private var state: StateRecord?

  package init() {}

  package mutating func add(piece: [UInt8], number: UInt64) throws {
    guard mark == nil, number == pieces else {
      throw DFSError(.corrupt, "piece \(number) of the checkpoint comes where piece \(pieces) should")
    }
    pieces += 1
    for (key, value) in try MetadataCheckpoint.records(of: piece) {
      guard lastKey.lexicographicallyPrecedes(key) else {
        throw DFSError(.corrupt, "the pieces of the checkpoint are not in order")
      }
      lastKey = key
      try note(key, value)
    }
  }

  package mutating func endCheckpoint(at expected: RoundMark) throws { mark = expected }

  package mutating func add(round bytes: [UInt8]) throws {
    let round = try SettledRound(encoded: bytes)
    guard round.previous == mark else {
      throw DFSError(.corrupt, "round \(round.mark.round) of the copy does not follow the one before: it has a hole")
    }
    mark = round.mark
    for case .put(let key, let value) in round.changes.changes { try note(key, value) }
  }

  private mutating func note(_ key: [UInt8], _ value: [UInt8]) throws {
    if key == Keys.cluster { cluster = try ClusterRecord(stored: value) }
    if key == Keys.state { state = try StateRecord(stored: value) }
  }

  /// What the copy holds. Throws `.corrupt` when it is not complete.
  package func finish() throws -> (cluster: ClusterID, mark: RoundMark, revision: Revision, counts: NamespaceCounts) {
    guard let mark, let cluster, let state else { throw DFSError(.corrupt, "the copy is not complete") }
    return (cluster.cluster, mark, state.revision, state.counts)
  }
}
