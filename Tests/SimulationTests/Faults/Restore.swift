import DFSCore
import DFSKeyValue
import DFSMetadata

@testable import DFSDataNode

extension World {
  /// Keeps a copy of the metadata now and then, as nodes do.
  func beginBackups() {
    guard scenario.faults.kinds.contains(where: { $0.0 == .metadataLost }) else { return }
    schedule(after: .minutes(3)) { [self] in
      if let leader, leader.isRunning { backup = leader.store.afterCrash() }
      beginBackups()
    }
  }

  /// The coordinator's disk is gone: the metadata is rebuilt from an older copy, as `admin recover` does, and
  /// held until a person has looked.
  func loseMetadata() {
    guard let leader, backup != nil, !isRestoring else { return }
    isRestoring = true
    crash(leader)
  }

  /// What `coordinatorIsGone` starts from.
  func restored(_ backup: MemoryStore) -> MemoryStore? {
    let store = MemoryStore()
    guard scenario.planted.raisesIncarnation else { return backup.afterCrash() }
    do {
      var restore = try MetadataRestore(into: store)
      let copy = try Namespace.open(
        store: backup.afterCrash(), ledger: StandaloneLedger(),
        configuration: scenario.coordinatorConfiguration(clock).namespace, rounds: .caller,
        logger: CoordinatorProcess.silence)
      var checkpoint = try copy.checkpoint()
      var number: UInt64 = 0
      while let piece = try checkpoint.nextPiece() {
        try restore.add(piece: piece, number: number)
        number += 1
      }
      try restore.endCheckpoint(at: checkpoint.mark)
      let asked = machines.compactMap(\.process).filter { !$0.machine.isImpostor }.prefix(2)
      let epoch = asked.map(\.fence.seen.epoch).max() ?? .zero
      let revision = asked.map(\.fence.seen.revision).max() ?? .zero
      let outcome = try restore.finish(above: MetadataRestore.Seen(epoch: epoch, revision: revision))
      note("the metadata is restored at revision \(outcome.revision), incarnation \(outcome.incarnation)")
      try truth.read(store)
    } catch {
      note("the metadata can not be restored: \(error)")
      return nil
    }
    self.backup = nil
    tell(.metadataRestored)
    tally.add("restores")
    releaseLater()
    return store
  }

  /// A person lets reaping and sweeping go on, after a check.
  private func releaseLater() {
    schedule(after: .minutes(3)) { [self] in leader?.hurrySweeps() }
    schedule(after: .minutes(5)) { [self] in release() }
  }

  private func release() {
    guard let leader, (try? leader.mutate(ReleaseHold())) != nil else {
      return schedule(after: .seconds(10)) { [self] in release() }
    }
    note("the hold is released")
  }
}
