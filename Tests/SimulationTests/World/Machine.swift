import DFSCore
import DFSCrypto
import DFSMetadata

/// One replica on a disk.
struct Replica {
  var length: UInt32
  var root: Digest
  /// Every byte is as it was written.
  var isGood = true
  /// Its file is as long as it was, its footer right: what a store sees without reading every byte.
  var isWhole = true
  /// Lies in the store of small chunks, which is lost as a whole.
  var isSmall = false
  /// What its bytes are made of.
  var number: UInt64 = 0

  var content: ChunkContent { ChunkContent(number, length: Int(length)) }
}

/// One formatted data directory: what of a datanode outlives its process. Some have a real chunk store; then
/// what is kept here beside it is what the store must have.
final class Disk {
  var shelf: StoreShelf?
  var node: NodeID
  var store: StoreID
  var cluster: ClusterID?
  /// Of the fence, as it was last made durable.
  var epoch = Epoch.zero
  var revision = Revision.zero
  var epochs: [GroupID: GroupEpoch] = [:]
  /// Its store of small chunks was set aside, and no coordinator knows yet.
  private var lostChunks = false
  var hasLostChunks: Bool { lostChunks || shelf?.hasLostChunks == true }
  private(set) var groups: [GroupID: [ChunkID: Replica]] = [:]

  init(node: NodeID, store: StoreID) {
    self.node = node
    self.store = store
  }

  /// The same bytes once more, as a careless operator makes them.
  func copy() -> Disk {
    let copy = Disk(node: node, store: store)
    (copy.cluster, copy.epoch, copy.revision, copy.epochs) = (cluster, epoch, revision, epochs)
    (copy.groups, copy.chunkCount) = (groups, chunkCount)
    copy.shelf = shelf?.copyAfterCrash()
    return copy
  }

  func replica(_ chunk: ChunkID, in group: GroupID) -> Replica? { groups[group]?[chunk] }
  func isGood(_ chunk: ChunkID, in group: GroupID) -> Bool { groups[group]?[chunk]?.isGood == true }
  func chunks(in group: GroupID) -> [ChunkID] { (groups[group] ?? [:]).keys.sorted() }
  var groupsWithChunks: [GroupID] { groups.filter { !$0.value.isEmpty }.keys.sorted() }
  private(set) var chunkCount = 0

  func toldLostChunks() {
    lostChunks = false
    shelf?.toldLostChunks()
  }

  /// Write-once: the same root again is the same replica, another one is refused.
  func keep(_ chunk: ChunkID, in group: GroupID, _ replica: Replica) throws {
    if let shelf {
      try shelf.write(chunk, in: group, replica.content)
      // What is plainly damaged is moved aside to make room, but for what the store still has open.
      if groups[group]?[chunk]?.isWhole == false, shelf.isSoundOnDisk(chunk, in: group) {
        forget(chunk, in: group)
      }
    }
    if let known = groups[group]?[chunk] {
      guard known.root == replica.root else {
        throw DFSError(.alreadyExists, "chunk \(chunk) is here with another root")
      }
      return
    }
    groups[group, default: [:]][chunk] = replica
    chunkCount += 1
  }

  /// A replica is deleted, or moved aside.
  @discardableResult
  func remove(_ chunk: ChunkID, in group: GroupID, aside: Bool = false) throws -> Replica? {
    if let shelf {
      if aside { try shelf.quarantine(chunk, in: group) } else { try shelf.delete(chunk, in: group) }
    }
    return forget(chunk, in: group)
  }

  /// A replica is not here any more.
  @discardableResult
  func forget(_ chunk: ChunkID, in group: GroupID) -> Replica? {
    let removed = groups[group]?.removeValue(forKey: chunk)
    if removed != nil { chunkCount -= 1 }
    return removed
  }
  func spoil(_ chunk: ChunkID, in group: GroupID, isWhole: Bool = true) {
    groups[group]?[chunk]?.isGood = false
    if !isWhole { groups[group]?[chunk]?.isWhole = false }
  }
  func removeSmall() {
    if let shelf { shelf.spoilSmallChunks() } else { lostChunks = true }
    for group in groups.keys { groups[group] = groups[group]?.filter { !$0.value.isSmall } }
    chunkCount = groups.values.reduce(0) { $0 + $1.count }
  }
}

/// A computer with room for one disk and one datanode process.
final class Machine {
  let number: Int
  let zone: String
  var disk: Disk?
  var process: NodeProcess?
  var pausedUntil: Moment?
  /// How far its clock is ahead of the world's.
  var skew = Span.milliseconds(0)
  /// Somebody else's job: no fault touches it just now.
  var isBusy = false
  /// Its disk came from another cluster, or is a copy: it is not counted on to come back.
  var isImpostor = false

  init(number: Int, zone: String) {
    self.number = number
    self.zone = zone
  }

  var host: Host { .machine(number) }
  var endpoint: Endpoint { Endpoint(host: "m\(number)", port: 1) }

  static func number(of endpoint: Endpoint?) -> Int? { endpoint.flatMap { Int($0.host.dropFirst()) } }
}

extension World {
  /// A new, empty disk with an identity of its own.
  func newDisk() -> Disk {
    let disk = Disk(node: NodeID(rawValue: number()), store: StoreID(rawValue: number()))
    if scenario.realStores > 0, chance(scenario.realStores) { disk.shelf = StoreShelf() }
    return disk
  }

  @discardableResult
  func start(_ machine: Machine) -> NodeProcess? {
    guard machine.process == nil, let disk = machine.disk else { return nil }
    let process = NodeProcess(on: machine, disk, boot: BootID(rawValue: number()), in: self)
    machine.process = process
    machine.pausedUntil = nil
    if disk.shelf != nil { process.openStore() }
    note("m\(machine.number) starts: node \(disk.node), boot \(process.boot)")
    process.begin()
    return process
  }

  func stop(_ machine: Machine) {
    guard let process = machine.process else { return }
    note("m\(machine.number) stops: node \(process.disk.node)")
    fallingSilent([machine])
    machine.process = nil
    machine.pausedUntil = nil
    if let shelf = process.disk.shelf { shelf.close(losesPower: chance(500), using: &random) }
  }

  /// The machine that answers at a node's address.
  func machine(of node: ClusterNode?) -> Machine? {
    Machine.number(of: node?.endpoints.first).map { machines[$0] }
  }

  /// Disks of the cluster that hold a good copy; without those of impostors.
  func goodCopies(of chunk: ChunkID, in group: GroupID) -> [Disk] {
    machines.compactMap { machine in
      machine.isImpostor ? nil : machine.disk.flatMap { $0.isGood(chunk, in: group) ? $0 : nil }
    }
  }

  /// What new chunks may still take.
  func free(on disk: Disk) -> ByteCount {
    max(.zero, scenario.capacity - ByteCount(disk.chunkCount * CoordinatorProcess.chunkSize.bytes))
  }

  /// The disks that have something of a group, without those of impostors: for who looks at everything.
  func holders() -> [GroupID: [Disk]] {
    var holders: [GroupID: [Disk]] = [:]
    for machine in machines where !machine.isImpostor {
      guard let disk = machine.disk else { continue }
      for group in disk.groupsWithChunks { holders[group, default: []].append(disk) }
    }
    return holders
  }

  /// A fault takes a replica, or all of a disk.
  func destroy(_ chunk: ChunkID, in group: GroupID, on disk: Disk) {
    tell(.replicaDestroyed(chunk, group, disk.node))
  }
}
