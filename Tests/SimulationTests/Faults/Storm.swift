import DFSCore
import DFSKeyValue
import DFSMetadata

/// What goes wrong.
enum FaultKind: CaseIterable {
  /// A datanode's process dies and is started again.
  case nodeRestart
  case nodeStop
  /// A process stands still: a virtual machine that is moved, a disk that hangs.
  case nodePause
  case flapping
  /// A machine's clock jumps ahead.
  case clockJump
  /// A disk is gone with all that was on it.
  case diskLost
  /// A disk is wiped and the node told to go on with its old name.
  case diskWiped
  case chunkRot
  case chunkMissing
  /// The store of small chunks does not open any more.
  case smallStoreLost
  case partition
  case badNetwork
  case zonePowerCut
  case coordinatorRestart
  case coordinatorPause
  /// A disk of another cluster is put into a machine.
  case foreignDisk
  /// A directory is copied to another machine, and both are started.
  case clonedDisk
  /// People at work.
  case drain
  case maintenance
  /// The coordinator's disk is lost, and an older copy of the metadata restored.
  case metadataLost
  /// Another coordinator takes the lead while the old one does not know.
  case secondLeader
}

extension World {
  /// Begins the faults of the scenario.
  func beginStorm() {
    guard let every = scenario.faults.every, !scenario.faults.kinds.isEmpty else { return }
    schedule(after: around(every)) { [self] in
      guard isStormy else { return }
      strike(someKind())
      beginStorm()
    }
  }

  private func someKind() -> FaultKind {
    let kinds = scenario.faults.kinds
    var rest = below(kinds.reduce(0) { $0 + $1.1 })
    for (kind, weight) in kinds {
      if rest < weight { return kind }
      rest -= weight
    }
    return kinds[0].0
  }

  private var running: [Machine] { machines.filter { $0.process != nil && !$0.isBusy && !$0.isImpostor } }

  func strike(_ kind: FaultKind) {
    tally.add("fault \(kind)")
    switch kind {
    case .nodeRestart: pick(running).map { restart($0, after: span(.seconds(1), .seconds(20))) }
    case .nodeStop: pick(running).map { restart($0, after: span(.seconds(15), .minutes(8))) }
    case .nodePause: pick(running).map { pause($0) }
    case .flapping: pick(running).map { flap($0, times: 3 + below(8)) }
    case .clockJump:
      pick(running).map {
        $0.skew = Span(milliseconds: $0.skew.milliseconds + around(.seconds(30)).milliseconds)
      }
    case .diskLost: pick(running).map { loseDisk($0) }
    case .diskWiped: pick(running).map { wipeDisk($0) }
    case .chunkRot: someReplica().map { rot($0.chunk, $0.group, on: $0.disk) }
    case .chunkMissing: someReplica().map { lose($0.chunk, $0.group, on: $0.disk) }
    case .smallStoreLost: pick(running).map { loseSmallStore($0) }
    case .partition: partition()
    case .badNetwork: badNetwork()
    case .zonePowerCut: cutPower()
    case .coordinatorRestart: leader.map { crash($0) }
    case .coordinatorPause: leader?.pausedUntil = now + around(.seconds(20))
    case .foreignDisk: mountForeignDisk()
    case .clonedDisk: cloneDisk()
    case .drain: drainAndRemove()
    case .maintenance: maintain()
    case .metadataLost: loseMetadata()
    case .secondLeader: startSecondLeader()
    }
  }

  // MARK: Processes

  private func restart(_ machine: Machine, after span: Span) {
    machine.isBusy = true
    stop(machine)
    schedule(after: span) { [self] in
      machine.isBusy = false
      start(machine)
    }
  }

  /// A machine whose disk does not answer any more is started again.
  func powerLost(_ machine: Machine) {
    stop(machine)
    guard !machine.isBusy else { return schedule(after: .minutes(1)) { [self] in start(machine) } }
    restart(machine, after: span(.seconds(1), .seconds(20)))
  }

  private func pause(_ machine: Machine) {
    let end = now + (chance(300) ? around(.minutes(2)) : around(.seconds(15)))
    note("m\(machine.number) stands still until \(end)")
    fallingSilent([machine])
    machine.pausedUntil = end
    schedule(at: end) { [self] in heardAgain(machine) }
  }

  private func flap(_ machine: Machine, times: Int) {
    guard times > 0, isStormy else {
      machine.isBusy = false
      start(machine)
      return
    }
    machine.isBusy = true
    stop(machine)
    schedule(after: around(.seconds(15))) { [self] in
      start(machine)
      schedule(after: around(.seconds(20))) { [self] in flap(machine, times: times - 1) }
    }
  }

  private func cutPower() {
    guard let zone = pick(Set(machines.map(\.zone)).sorted()) else { return }
    note("zone \(zone) is without power")
    for machine in machines where machine.zone == zone && machine.process != nil && !machine.isBusy {
      restart(machine, after: span(.seconds(30), .minutes(5)))
    }
  }

  // MARK: Disks

  /// A machine gets a new disk a while after its own was lost.
  private func loseDisk(_ machine: Machine) {
    guard let disk = machine.disk, machines.count(where: { $0.disk == nil }) == 0 else { return }
    note("m\(machine.number) loses its disk, that of node \(disk.node)")
    stop(machine)
    destroyAll(disk) { _ in true }
    machine.disk = nil
    machine.isBusy = true
    schedule(after: around(.minutes(5))) { [self] in giveUp(disk.node) }
    schedule(after: span(.seconds(10), .minutes(15))) { [self] in replaceDisk(machine) }
  }

  func replaceDisk(_ machine: Machine) {
    machine.isBusy = false
    guard machine.disk == nil else { return }
    machine.disk = newDisk()
    start(machine)
  }

  /// The old name with a new store: refused until somebody formats it anew.
  private func wipeDisk(_ machine: Machine) {
    guard let disk = machine.disk, machines.count(where: { $0.disk == nil || $0.isBusy }) == 0 else { return }
    note("m\(machine.number) is wiped")
    stop(machine)
    destroyAll(disk) { _ in true }
    machine.disk = Disk(node: disk.node, store: StoreID(rawValue: number()))
    machine.isBusy = true
    start(machine)
    schedule(after: around(.minutes(4))) { [self] in
      giveUp(disk.node)
      stop(machine)
      machine.disk = nil
      replaceDisk(machine)
    }
  }

  private func loseSmallStore(_ machine: Machine) {
    guard let disk = machine.disk else { return }
    note("m\(machine.number) loses its small chunks")
    stop(machine)
    destroyAll(disk, \.isSmall)
    disk.removeSmall()
    restart(machine, after: .seconds(3))
  }

  private func destroyAll(_ disk: Disk, _ isLost: (Replica) -> Bool) {
    for group in disk.groupsWithChunks {
      for chunk in disk.chunks(in: group) where disk.replica(chunk, in: group).map(isLost) == true {
        destroy(chunk, in: group, on: disk)
      }
    }
  }

  private func someReplica() -> (chunk: ChunkID, group: GroupID, disk: Disk)? {
    guard let disk = pick(machines.filter { !$0.isImpostor }.compactMap(\.disk)),
      let group = pick(disk.groupsWithChunks), let chunk = pick(disk.chunks(in: group))
    else { return nil }
    return (chunk, group, disk)
  }

  private func rot(_ chunk: ChunkID, _ group: GroupID, on disk: Disk) {
    note("chunk \(chunk) rots on node \(disk.node)")
    if let shelf = disk.shelf {
      guard disk.isGood(chunk, in: group) else { return }
      let isWhole = chance(600)
      let isDone =
        isWhole
        ? shelf.flip(chunk, in: group, at: below(2000))
        : shelf.truncate(chunk, in: group, to: below(60_000))
      guard isDone else { return }
      tally.add(isWhole ? "files flipped" : "files truncated")
      disk.spoil(chunk, in: group, isWhole: isWhole)
    } else {
      disk.spoil(chunk, in: group)
    }
    destroy(chunk, in: group, on: disk)
  }

  private func lose(_ chunk: ChunkID, _ group: GroupID, on disk: Disk) {
    note("chunk \(chunk) is lost on node \(disk.node)")
    if let shelf = disk.shelf, !shelf.unlink(chunk, in: group) { return }
    disk.forget(chunk, in: group)
    destroy(chunk, in: group, on: disk)
  }

  private func mountForeignDisk() {
    guard let machine = addMachine() else { return }
    let disk = newDisk()
    disk.cluster = ClusterID(rawValue: number())
    disk.epoch = Epoch(incarnation: 1, term: 1)
    runImpostor(machine, disk)
  }

  private func cloneDisk() {
    // One at a time: two of them may take both copies of what was written meanwhile.
    guard !machines.contains(where: { $0.isImpostor && $0.disk != nil }),
      let original = pick(running), let disk = original.disk, let machine = addMachine()
    else { return }
    note("the directory of m\(original.number) is copied to m\(machine.number)")
    runImpostor(machine, disk.copy())
  }

  private func runImpostor(_ machine: Machine, _ disk: Disk) {
    machine.isImpostor = true
    machine.isBusy = true
    machine.disk = disk
    start(machine)
    schedule(after: around(.minutes(3))) { [self] in endImpostor(machine) }
  }

  func endImpostor(_ machine: Machine) {
    guard machine.isImpostor else { return }
    stop(machine)
    machine.disk = nil
    // The node whose directory it was registers again with a boot of its own.
    for other in machines where !other.isImpostor && other.process != nil && !other.isBusy {
      if other.process?.stream == nil { restart(other, after: .seconds(1)) }
    }
  }

  private func addMachine() -> Machine? {
    if let machine = machines.first(where: { $0.isImpostor && $0.disk == nil }) { return machine }
    guard machines.count < scenario.machines + 3 else { return nil }
    let machine = Machine(number: machines.count, zone: scenario.zoneName(machines.count))
    machine.isImpostor = true
    machines.append(machine)
    return machine
  }

  // MARK: The network

  private func partition() {
    guard network.isWhole else { return }
    if chance(500), let one = pick(running), let other = pick(running) {
      network.cut(one.host, other.host)
      note("m\(one.number) and m\(other.number) hear nothing of each other")
    } else {
      let away = machines.filter { _ in chance(300) }
      note("cut off: \(away.map { "m\($0.number)" }.joined(separator: " "))")
      fallingSilent(away)
      network.separate(away.map(\.host), side: 1)
    }
    schedule(after: around(.minutes(2))) { [self] in
      network.heal()
      note("the network is whole")
      allHeardAgain()
    }
  }

  private func badNetwork() {
    let before = (network.lost, network.slowest)
    guard before.1 < .seconds(1) else { return }
    (network.lost, network.slowest) = (150, .seconds(2))
    schedule(after: around(.minutes(1))) { [self] in (network.lost, network.slowest) = before }
  }

  // MARK: The coordinator

  func fateOfSettlement() -> ObservedLedger.Fate {
    guard isStormy, scenario.faults.lostSettlements > 0,
      Int.random(in: 0..<1_000_000, using: &random) < scenario.faults.lostSettlements
    else { return .fine }
    return chance(500) ? .lostBefore : .lostAfter
  }

  func coordinatorIsGone(_ coordinator: CoordinatorProcess) {
    schedule(after: span(.milliseconds(500), .seconds(30))) { [self] in
      if let ledgerService {
        // A standby builds its store from the ledger.
        guard leader == nil else { return }
        return startCoordinator(on: MemoryStore(), MemoryLedger(ledgerService))
      }
      var store = coordinator.store.afterCrash()
      if isRestoring, let backup, let older = restored(backup) { store = older }
      isRestoring = false
      startCoordinator(on: store, standaloneLedger())
    }
  }

  private func startSecondLeader() {
    guard let ledgerService, coordinators.count(where: \.isRunning) == 1 else { return }
    note("another coordinator takes the lead")
    startCoordinator(on: MemoryStore(), MemoryLedger(ledgerService))
  }
}

extension Scenario {
  func zoneName(_ machine: Int) -> String { zones == 0 ? "" : "zone-\(machine % zones)" }
}
