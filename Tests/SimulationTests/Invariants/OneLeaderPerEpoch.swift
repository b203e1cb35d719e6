import DFSCore

/// One coordinator leads in an epoch and makes its batches, and no disk obeys an epoch below one that it has
/// obeyed.
struct OneLeaderPerEpoch: Invariant {
  let name = "one leader an epoch"
  private var leaders: [Epoch: Int] = [:]
  private var terms: [Int: UInt64] = [:]
  private var obeyed: [StoreID: Epoch] = [:]

  mutating func observe(_ event: WorldEvent, in world: World) -> String? {
    switch event {
    case .coordinatorLeads(let epoch, let number):
      if let other = leaders[epoch] {
        return "coordinators \(other) and \(number) both lead in epoch \(epoch)"
      }
      leaders[epoch] = number
      terms[number] = epoch.term
    case .batchSettled(let batch, let number):
      if let term = terms[number], batch.mark.term != term {
        return "coordinator \(number) of term \(term) settled a batch of term \(batch.mark.term)"
      }
    case .orderObeyed(let epoch, let node, let store):
      if let before = obeyed[store], epoch < before {
        return "node \(node) obeyed epoch \(epoch) after epoch \(before)"
      }
      obeyed[store] = epoch
    default: break
    }
    return nil
  }
}
