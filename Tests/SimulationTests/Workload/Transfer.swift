import DFSCore
import DFSMetadata

@testable import DFSCoordinator

extension World {
  /// As `WriteChunk`: the members take part that are reached and admit it when it begins; each stores the chunk
  /// at its own end if it still can. Gives the receipts, or nothing where they are fewer than W. `slow` of a
  /// thousand take minutes.
  func transfer(
    _ chunk: ChunkID, _ replica: Replica, to sight: GroupSight, from client: Host, slow: Int,
    then: @escaping ([ReceivedReceipt]?) -> Void
  ) {
    let members = sight.members.shuffled(using: &random)
    guard let head = members.first, members.count >= sight.row.policy.writeQuorum else {
      return schedule(after: .milliseconds(10)) { then(nil) }
    }
    let length =
      chance(slow)
      ? span(.seconds(5), .minutes(4)) : span(.milliseconds(5), .milliseconds(300))
    let transfer = OpenTransfer(
      chunk: chunk, replica: replica, row: sight.row, wanted: members.count / 2 + 1)
    call(from: client, to: .machine(head.machine), timeout: length + .seconds(10)) { [self] answer in
      let machine = machines[head.machine]
      guard let process = machine.process else {
        return answer(.failure(DFSError(.unavailable, "nobody listens")))
      }
      do {
        try process.checkAddressee(head.node)
        try process.admitWrite(to: sight.row.id, at: sight.row.epoch)
      } catch { return answer(.failure(DFSError(wrapping: error, "not admitted"))) }
      transfer.join(process)
      for other in members.dropFirst() { forward(transfer, to: other, from: machine.host) }
      schedule(after: length) { [self] in
        answer(.success(complete(transfer, at: process)))
      }
    } then: { (result: Result<[ReceivedReceipt]?, DFSError>) in
      switch result {
      case .success(let receipts): then(receipts)
      case .failure: then(nil)
      }
    }
  }

  private func forward(_ transfer: OpenTransfer, to other: (node: NodeID, machine: Int), from head: Host) {
    send(from: head, to: .machine(other.machine)) { [self] in
      guard let process = machines[other.machine].process else { return }
      do {
        try process.checkAddressee(other.node)
        try process.admitWrite(to: transfer.row.id, at: transfer.row.epoch)
        transfer.join(process)
      } catch {}
    }
  }

  /// The end of the frames reaches everybody who takes part; receipts come back to the head.
  private func complete(_ transfer: OpenTransfer, at head: NodeProcess) -> [ReceivedReceipt]? {
    guard head.isRunning else { return nil }
    var receipts: [ReceivedReceipt] = []
    for process in transfer.participants {
      guard process.isRunning, network.connects(head.machine.host, process.machine.host),
        process.machine.pausedUntil.map({ $0 <= now }) ?? true, process === head || !chance(network.lost)
      else { continue }
      if scenario.planted.isDurableBeforeReceipt || chance(900) {
        process.riskPower()
        do { try process.disk.keep(transfer.chunk, in: transfer.row.id, transfer.replica) } catch { continue }
        tell(.replicaStored(transfer.chunk, transfer.row.id, process.node, transfer.replica.root))
      }
      tally.add("replicas stored")
      guard process === head || !chance(network.lost),
        let receipt = process.receipt(
          for: transfer.chunk, transfer.replica, in: transfer.row.id, at: transfer.row.epoch)
      else { continue }
      receipts.append(receipt)
    }
    return receipts.count >= transfer.wanted ? receipts : nil
  }
}

extension World {
  /// What a client writes next. Only the last chunk of a file may be short.
  func newReplica(isLast: Bool) -> Replica {
    let (number, full) = (number(), CoordinatorProcess.chunkSize.bytes)
    guard scenario.realStores > 0 else {
      return Replica(length: UInt32(full), root: digest(of: number), isSmall: chance(300))
    }
    let length = isLast && chance(700) ? 1 + below(StoreShelf.smallChunkLimit.int) : full
    let root = ChunkContent(number, length: length).root
    return Replica(
      length: UInt32(length), root: root, isSmall: length <= StoreShelf.smallChunkLimit.int, number: number)
  }
}

/// A chunk on its way, and who takes part.
private final class OpenTransfer {
  let chunk: ChunkID
  let replica: Replica
  let row: PlacementGroup
  let wanted: Int
  private(set) var participants: [NodeProcess] = []

  init(chunk: ChunkID, replica: Replica, row: PlacementGroup, wanted: Int) {
    self.chunk = chunk
    self.replica = replica
    self.row = row
    self.wanted = wanted
  }

  func join(_ process: NodeProcess) {
    if !participants.contains(where: { $0 === process }) { participants.append(process) }
  }
}
