import DFSCore
import DFSKeyValue
import Testing

@testable import DFSMetadata

@Suite struct SessionTests {
  private func time(_ seconds: Int64) -> ClusterTime { ClusterTime(rawValue: seconds * 1000) }
  private func inode(_ number: UInt64) -> InodeID { InodeID(rawValue: number) }

  @Test func `what a table does not know has the deadline of the start`() {
    var table = DeadlineTable(length: .seconds(10), start: time(100))
    #expect(!table.isOver(inode(1), now: time(109)))
    #expect(table.isOver(inode(1), now: time(110)))
    table.renew(inode(1), now: time(105))
    #expect(!table.isOver(inode(1), now: time(114)))
    #expect(table.isOver(inode(1), now: time(115)))
    #expect(table.over(limit: 5, now: time(115)) == [inode(1)])
    table.remove(inode(1))
    #expect(table.over(limit: 5, now: time(200)).isEmpty && table.count == 0)
  }

  @Test func `a table is trimmed of what is over, and lists no more than asked for`() {
    var table = DeadlineTable(length: .seconds(10), start: time(0))
    for number in 0..<100 { table.renew(inode(UInt64(number)), now: time(Int64(number))) }
    #expect(table.over(limit: 7, now: time(50)).count == 7)
    table.trim(now: time(50))
    #expect(table.count == 59)
  }

  @Test func `the cluster's clock goes on from the store with the monotonic clock`() {
    let elapsed = Shared(Duration.seconds(1000))
    let clock = ClusterClock(from: time(5)) { elapsed.value }
    #expect(clock.now == time(5))
    elapsed.value += .milliseconds(1500)
    #expect(clock.now.rawValue == 6500)
    #expect(clock.now - time(5) == .milliseconds(1500))
    #expect(ClusterTime(rawValue: 7_200_000).hour == 2)
  }

  @Test func `snapshots end with their time, and the oldest makes room`() {
    let view = NamespaceView(reader: MemoryStore(), revision: .zero)
    var table = SnapshotTable(limit: 2, lifetime: .seconds(10), firstToken: .max)
    let first = table.keep(view, now: .seconds(0))
    let second = table.keep(view, now: .seconds(1))
    #expect(first != second)
    #expect(table.view(first, now: .seconds(9)) != nil)
    #expect(table.view(first, now: .seconds(10)) == nil)
    let third = table.keep(view, now: .seconds(10))
    _ = table.keep(view, now: .seconds(10))
    #expect(table.count == 2 && table.view(second, now: .seconds(10)) == nil)
    table.drop(third)
    #expect(table.count == 1)
  }
}
