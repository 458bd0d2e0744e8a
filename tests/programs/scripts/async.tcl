# Tcl's `socket -async`: a thread of its own waits for descriptors, by select. Usage: async.tcl PORT HOST…
proc connected {channel host} {
    set error [fconfigure $channel -error]
    if {$error ne ""} { finish $host $error }
    fileevent $channel writable {}
    puts $channel "tcl to $host"
    fileevent $channel readable [list heard $channel $host]
}

proc heard {channel host} {
    finish $host [gets $channel]
    close $channel
}

proc finish {host line} {
    set ::heard($host) $line
    if {[array size ::heard] == [llength $::hosts]} { set ::done 1 }
}

set hosts [lassign $argv port]
foreach host $hosts {
    set channel [socket -async $host $port]
    fconfigure $channel -blocking 0 -buffering line
    fileevent $channel writable [list connected $channel $host]
}
after 10000 {set ::done 1}
vwait done
foreach host $hosts { puts [expr {[info exists heard($host)] ? $heard($host) : "nothing"}] }
