import DFSCore
import DFSKeyValue

/// What the operations of one round execute against: the store, the changes of the operations before, and the
/// state that every round writes. A value that only its round touches.
package struct Transaction {
  let context: RoundContext
  var changes: ChangeSet
  private(set) var state: StateRecord
  private(set) var notices: [RoundNotice] = []
  /// Of the operation that executes now.
  private(set) var revision: Revision
  /// Before the round.
  let revisionBefore: Revision

  init(over base: any StoreReader, state: StateRecord, context: RoundContext) {
    self.context = context
    self.state = state
    changes = ChangeSet(over: base)
    revision = state.revision.next
    revisionBefore = state.revision
  }

  mutating func note(_ notice: RoundNotice) { notices.append(notice) }

  mutating func nextInode() -> InodeID {
    defer { state.nextSerial += 1 }
    return InodeID(SerialNumber(incarnation: context.incarnation, counter: state.nextSerial))
  }

  mutating func count(_ change: (inout NamespaceCounts) -> Void) { change(&state.counts) }
  mutating func membersChanged() { state.placement = revision }
}

// Reading and writing records.
extension Transaction: RecordSource {
  mutating func bytes(at key: [UInt8]) throws -> [UInt8]? { try changes.value(for: key) }

  mutating func put(_ record: some StoredRecord, at key: [UInt8]) throws {
    try changes.write(key, record.encoded)
  }
  mutating func insert(_ record: some StoredRecord, at key: [UInt8]) { changes.insert(key, record.encoded) }
  mutating func delete(_ key: [UInt8]) throws { try changes.write(key, nil) }
}

// One operation after another.
extension Transaction {
  /// The operation does not fit into what is left of the round's batch: run it again in the next one.
  struct Full: Error {}

  /// Executes `mutation`, or answers it again when `id` was executed before. On an error nothing has changed.
  mutating func perform<M: Mutation>(_ mutation: M, id: RequestID?) throws -> Settled<M.Outcome> {
    var arguments = StateDigest.zero
    var outcomeKey: [UInt8] = []
    var hour = 0
    if let id {
      hour = try hourIndex(of: id)
      outcomeKey = Keys.outcome(state.hours[hour].hour, id)
      arguments = Self.fingerprint(mutation)
      if let replay = try replay(M.self, at: outcomeKey, arguments: arguments) { return replay }
    }
    let stateBefore = state
    let noticesBefore = notices.count
    changes.begin()
    do {
      let outcome = try mutation.execute(in: &self)
      guard changes.hasOperationWritten else {
        state = stateBefore
        return Settled(outcome: outcome, revision: state.revision, isReplay: false)
      }
      state.revision = revision
      if id != nil {
        var writer = RecordWriter()
        M.encode(outcome, to: &writer)
        let record = OutcomeRecord(
          kind: M.kind, arguments: arguments, revision: revision, outcome: writer.bytes)
        insert(record, at: outcomeKey)
      }
      try checkFit(ofFirst: stateBefore.revision == revisionBefore)
      defer { revision = revision.next }
      return Settled(outcome: outcome, revision: revision, isReplay: false)
    } catch {
      changes.undoOperation()
      state = stateBefore
      notices.removeSubrange(noticesBefore...)
      throw error
    }
  }

  private mutating func replay<M: Mutation>(
    _: M.Type, at key: [UInt8], arguments: StateDigest
  ) throws -> Settled<M.Outcome>? {
    guard let record = try record(key, OutcomeRecord.self) else { return nil }
    guard record.kind == M.kind.rawValue, record.arguments == arguments else {
      throw DFSError(
        .invalidArgument,
        "the request id was used before, for another request: take a new id for each request",
        metadata: ["revision": record.revision.description])
    }
    var reader = RecordReader(record.outcome, "outcome")
    let outcome = try M.decodeOutcome(from: &reader)
    try reader.finish()
    return Settled(outcome: outcome, revision: record.revision, isReplay: true)
  }

  /// The place in `state.hours` where results of requests that saw this revision are.
  private func hourIndex(of id: RequestID) throws -> Int {
    guard id.seen >= state.floor else {
      throw DFSError(
        .outcomeUnknown,
        "the request saw revision \(id.seen); results before \(state.floor) are forgotten, so it was not executed now",
        metadata: ["floor": state.floor.description, "revision": state.revision.description])
    }
    guard id.seen <= state.revision else {
      throw DFSError(
        .stale,
        "the request saw revision \(id.seen), this namespace is at \(state.revision): it went back in time",
        metadata: ["revision": state.revision.description])
    }
    return state.hours.lastIndex { $0.start <= id.seen } ?? 0
  }

  private static func fingerprint(_ mutation: some Mutation) -> StateDigest {
    var writer = RecordWriter(reserving: 256)
    mutation.encodeArguments(to: &writer)
    return StateDigest(key: [type(of: mutation).kind.rawValue], value: writer.bytes)
  }
}

// The batch's limits, and what every batch holds beside the operations' changes.
extension Transaction {
  /// `m/round`, `m/state`, and the range delete of an hour.
  private static let ownOperations = 3
  private static let ownBytes = 1024

  /// How many operations one mutation may take in this ledger.
  var operationLimit: Int { context.limits.operations - Self.ownOperations }

  private func checkFit(ofFirst isFirst: Bool) throws {
    let bytes = changes.byteCount + Self.ownBytes + state.hours.count * 32
    if changes.operationCount <= operationLimit, bytes <= context.limits.bytes.int { return }
    guard isFirst else { throw Full() }
    throw DFSError(
      .exhausted,
      "the request changes more than one batch of metadata may hold (\(operationLimit) records, "
        + "\(context.limits.bytes)): make it smaller")
  }

  /// Forgets the oldest hour of results when it is old enough, and opens the present hour. Answers the range
  /// to delete.
  mutating func turnHour() -> KeyRange? {
    state.time = max(state.time, context.now)
    let hour = state.time.hour
    if let last = state.hours.last, last.hour < hour {
      state.hours.append(StateRecord.RequestHour(hour: hour, start: state.revision, digest: .zero))
    }
    let kept = UInt32(clamping: context.configuration.outcomeRetention.milliseconds / 3_600_000)
    // An hour's ids end where the next hour begins, so the next one's age decides.
    guard state.hours.count > 1, state.hours[1].hour &+ kept < hour else { return nil }
    return KeyRange(prefix: Keys.outcomes(of: state.hours.removeFirst().hour))
  }

  /// Adds the round's changes to the digests.
  mutating func updateDigests() {
    var state = self.state
    changes.forEachChange { key, old, new in
      let isOutcome = key[0] == UInt8(ascii: "o")
      guard key[0] != UInt8(ascii: "m") else { return }
      var change = StateDigest.zero
      if let new { change += StateDigest(key: key, value: new) }
      if let old { change -= StateDigest(key: key, value: old) }
      guard isOutcome else { return state.digest += change }
      let hour = key[2..<6].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      if let index = state.hours.firstIndex(where: { $0.hour == hour }) {
        state.hours[index].digest += change
      }
    }
    self.state = state
  }
}
