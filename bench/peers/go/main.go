// Command peer runs sessions on request and times itself, see docs/benchmarks.md for the protocol.
//
//	peer client|ctr|runc SETTINGS_JSON
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Settings is what the harness tells every peer about the ground it runs on.
type Settings struct {
	Address   string `json:"address"`
	Namespace string `json:"namespace"`
	Image     string `json:"image"`
	// Template is a file with the OCI spec that our own library built; every "@ID@" in it stands for a session's id.
	Template string `json:"template"`
	// Scratch is a directory of this peer's own.
	Scratch string `json:"scratch"`
	// Rootfs is the unpacked root file system, for the peer that has no image store.
	Rootfs string `json:"rootfs"`
}

func main() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("usage: peer client|ctr|runc SETTINGS_JSON"))
	}
	var settings Settings
	if err := json.Unmarshal([]byte(os.Args[2]), &settings); err != nil {
		fail(err)
	}
	driver, err := openDriver(os.Args[1], settings)
	if err != nil {
		fail(err)
	}
	serve(&Peer{driver: driver})
}

func openDriver(kind string, settings Settings) (Driver, error) {
	switch kind {
	case "client":
		return openClient(settings)
	case "ctr":
		return openCtr(settings)
	case "runc":
		return openRunc(settings)
	}
	return nil, fmt.Errorf("no such peer: %s", kind)
}

// serve answers one line with one line. The end of the input, whatever its reason, ends every session.
func serve(peer *Peer) {
	defer peer.closeAll()
	fmt.Println(`{"ready":true}`)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		answer, err := handle(peer, words[0], readNumbers(words[1:]))
		if err != nil {
			answer = map[string]string{"error": err.Error()}
		}
		text, _ := json.Marshal(answer)
		fmt.Println(string(text))
	}
}

func handle(peer *Peer, verb string, numbers []int64) (any, error) {
	numbers = append(numbers, 0, 0)
	switch verb {
	case "open":
		return map[string]bool{}, peer.open()
	case "close":
		return map[string]bool{}, peer.close()
	case "cold":
		return peer.measureCold()
	case "warm":
		return peer.measureWarm(int(numbers[0]))
	case "execs":
		return peer.measureExecs(int(numbers[0]), time.Duration(numbers[1])*time.Millisecond)
	case "streamOut":
		return peer.measureStreamOut(numbers[0])
	case "streamIn":
		return peer.measureStreamIn(numbers[0])
	case "rate":
		return peer.measureRate(int(numbers[0]), int(numbers[1]))
	case "hold":
		return peer.hold(int(numbers[0]))
	}
	return nil, fmt.Errorf("no such verb: %s", verb)
}

func readNumbers(words []string) []int64 {
	numbers := make([]int64, len(words))
	for index, word := range words {
		numbers[index], _ = strconv.ParseInt(word, 10, 64)
	}
	return numbers
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
