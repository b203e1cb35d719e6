import DFSCore
import DFSCrypto
import DFSMetadata

/// One replica on a disk.
struct Replica {
  var length: UInt32
  var root: Digest
  /// Every byte is as it was written.
  var isGood = true
  /// Lies in the store of small chunks, which is lost as a whole.
  var isSmall = false
}

/// One formatted data directory: what of a datanode outlives its process.
final class Disk {
  var node: NodeID
  var store: StoreID
  var cluster: ClusterID?
  /// Of the fence, as it was last made durable.
  var epoch = Epoch.zero
  var revision = Revision.zero
  var epochs: [GroupID: GroupEpoch] = [:]
  /// Its store of small chunks was set aside, and no coordinator knows yet.
  var hasLostChunks = false
  private(set) var groups: [GroupID: [ChunkID: Replica]] = [:]

  init(node: NodeID, store: StoreID) {
    self.node = node
    self.store = store
  }

  /// The same bytes once more, as a careless operator makes them.
  func copy() -> Disk {
    let copy = Disk(node: node, store: store)
    (copy.cluster, copy.epoch, copy.revision, copy.epochs) = (cluster, epoch, revision, epochs)
    copy.groups = groups
    return copy
  }

  func replica(_ chunk: ChunkID, in group: GroupID) -> Replica? { groups[group]?[chunk] }
  func isGood(_ chunk: ChunkID, in group: GroupID) -> Bool { groups[group]?[chunk]?.isGood == true }
  func chunks(in group: GroupID) -> [ChunkID] { (groups[group] ?? [:]).keys.sorted() }
  var groupsWithChunks: [GroupID] { groups.filter { !$0.value.isEmpty }.keys.sorted() }
  var chunkCount: Int { groups.values.reduce(0) { $0 + $1.count } }

  /// Write-once: the same root again is the same replica, another one is refused.
  func keep(_ chunk: ChunkID, in group: GroupID, _ replica: Replica) throws {
    if let known = groups[group]?[chunk] {
      guard known.root == replica.root else {
        throw DFSError(.alreadyExists, "chunk \(chunk) is here with another root")
      }
      return
    }
    groups[group, default: [:]][chunk] = replica
  }

  @discardableResult
  func remove(_ chunk: ChunkID, in group: GroupID) -> Replica? { groups[group]?.removeValue(forKey: chunk) }
  func spoil(_ chunk: ChunkID, in group: GroupID) { groups[group]?[chunk]?.isGood = false }
  func removeSmall() {
    hasLostChunks = true
    for group in groups.keys { groups[group] = groups[group]?.filter { !$0.value.isSmall } }
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
    Disk(node: NodeID(rawValue: number()), store: StoreID(rawValue: number()))
  }

  @discardableResult
  func start(_ machine: Machine) -> NodeProcess? {
    guard machine.process == nil, let disk = machine.disk else { return nil }
    let process = NodeProcess(on: machine, disk, boot: BootID(rawValue: number()), in: self)
    machine.process = process
    machine.pausedUntil = nil
    note("m\(machine.number) starts: node \(disk.node), boot \(process.boot)")
    process.begin()
    return process
  }

  func stop(_ machine: Machine) {
    guard let process = machine.process else { return }
    note("m\(machine.number) stops: node \(process.disk.node)")
    machine.process = nil
    machine.pausedUntil = nil
    disturbed()
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

  /// A fault takes a replica, or all of a disk.
  func destroy(_ chunk: ChunkID, in group: GroupID, on disk: Disk) {
    tell(.replicaDestroyed(chunk, group, disk.node))
  }
}
