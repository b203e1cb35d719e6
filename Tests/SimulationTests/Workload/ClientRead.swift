import DFSCore
import DFSMetadata

@testable import DFSCoordinator

/// One file on its way out: lookup, pin, then every chunk from whatever member has it, with the pin renewed as
/// long as it takes.
final class ClientRead {
  private let client: Client
  private let world: World
  private let path: RemotePath
  private let isSlow: Bool
  private var isOver = false

  init(of client: Client, _ path: RemotePath) {
    self.client = client
    self.path = path
    world = client.world
    isSlow = world.chance(world.scenario.workload.slow)
  }

  func begin() {
    let path = path
    client.ask {
      try $0.lookup(path)
    } then: { [self] result in
      guard case .success(let found) = result, let page = found.page else { return }
      pin(found.inode) { [self] in
        world.tally.add("reads")
        read(page.chunks[...], page.nextPage, of: found.inode)
      }
      keepPinned(found.inode)
    }
  }

  private func pin(_ inode: InodeID, then: @escaping () -> Void) {
    let asked = world.now
    client.ask(attempts: 5) { [world] coordinator in
      let span = try coordinator.pin(inode)
      // What the answer promises counts from when it was given.
      return (span, world.now + span)
    } then: { [self] result in
      guard case .success(let (span, _)) = result else {
        isOver = true
        return
      }
      world.tell(.versionPinned(inode, until: asked + span))
      then()
    }
  }

  private func keepPinned(_ inode: InodeID) {
    world.schedule(after: .seconds(20)) { [self] in
      guard !isOver else { return }
      pin(inode) {}
      keepPinned(inode)
    }
  }

  private func read(_ chunks: ArraySlice<ChunkReference>, _ nextPage: UInt32?, of inode: InodeID) {
    guard !isOver else { return }
    guard let reference = chunks.first else { return turn(to: nextPage, of: inode) }
    client.ask(attempts: 5) {
      try $0.sight(reference.group)
    } then: { [self] result in
      guard case .success(let sight) = result else {
        isOver = true
        return
      }
      let chunk = ChunkID(inode: inode, index: reference.index)
      tryMembers(sight.members[...], chunk, reference) { [self] in
        world.schedule(after: isSlow ? world.around(.minutes(2)) : .milliseconds(20)) { [self] in
          read(chunks.dropFirst(), nextPage, of: inode)
        }
      }
    }
  }

  private func turn(to page: UInt32?, of inode: InodeID) {
    guard let page else {
      isOver = true
      return
    }
    client.ask(attempts: 5) {
      try $0.namespace.view().manifest(inode, page: page)
    } then: { [self] result in
      guard case .success(let found) = result else {
        isOver = true
        return
      }
      world.tally.add("manifest pages")
      read(found.chunks[...], found.nextPage, of: inode)
    }
  }

  /// Asks one member after another; reports those whose replica is bad or missing.
  private func tryMembers(
    _ members: ArraySlice<(node: NodeID, machine: Int)>, _ chunk: ChunkID, _ reference: ChunkReference,
    then: @escaping () -> Void
  ) {
    guard let member = members.first else {
      world.tally.add("reads without a replica")
      return then()
    }
    let machine = world.machines[member.machine]
    world.ask(machine, from: client.host, member.node, timeout: .seconds(3)) { process in
      try process.read(chunk, in: reference.group, root: reference.root)
    } then: { [self] (result: Result<Void, DFSError>) in
      switch result {
      case .success: return then()
      case .failure(let error) where error.code == .corrupt || error.code == .notFound:
        client.ask(attempts: 2) { coordinator in
          coordinator.reported(chunk, reference.group, member.node)
        } then: { _ in
        }
      case .failure: break
      }
      tryMembers(members.dropFirst(), chunk, reference, then: then)
    }
  }
}

extension NodeProcess {
  /// As `ReadChunk`, as far as it decides.
  func read(_ chunk: ChunkID, in group: GroupID, root: Digest) throws {
    try readWhole(chunk, in: group, root: root)
  }
}
